// floods.js
//     Receivers, and a proxy, that do not stop sending:
//
//   floods.js PORT-FILE CERTIFICATE KEY
//
//     The port file has three ports.  The first one's receivers speak TLS, and HTTP/2
//     if they are asked for it; the second one's do not; the third is a proxy, which
//     refuses.  What is sent without an end is told by the request's path:
//       /data       empty frames of DATA, after a head that says 200
//       /window     WINDOW_UPDATE, instead of a head
//       /priority   PRIORITY, likewise
//       /packed     a body packed with gzip, of blocks without content
//       /small      the same in small chunks
//       /extension  the extension of a chunk
//     Of each connection that it has so filled, PORT-FILE.floods has a line with the path,
//     and how it ended: "by the other side", or "never" after a minute.
//
// Ends with its parent.
//
// Copyright (c) 2026, the rswebhook maintainers

'use strict';

const fs = require('fs');
const net = require('net');
const tls = require('tls');

const [portFile, certificate, key] = process.argv.slice(2);
const parent = process.ppid;
const LONGEST_MS = 60000;
const PIECE = 1 << 20;
const [DATA, HEADERS, PRIORITY, SETTINGS, WINDOW_UPDATE] = [0, 1, 2, 4, 8];
const END_HEADERS = 4, ACK = 1;
const PREFACE_BYTES = 24, FRAME_HEAD_BYTES = 9;
const STATUS_200 = Buffer.from([0x88]);
const OK = 'HTTP/1.1 200 OK\r\n';
const GZIP_HEAD = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const EMPTY_BLOCK = Buffer.from([0, 0, 0, 0xff, 0xff]);

function frame(type, flags, stream, payload = Buffer.alloc(0)) {
    const head = Buffer.alloc(FRAME_HEAD_BYTES);

    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
}

function many(piece) {
    return Buffer.alloc(Math.floor(PIECE / piece.length) * piece.length, piece);
}

const packed = { head: OK + 'Content-Encoding: gzip\r\n' };
const floods = {
    '/data': () => [frame(HEADERS, END_HEADERS, 1, STATUS_200), frame(DATA, 0, 1)],
    '/window': () => ['', frame(WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 0, 1]))],
    '/priority': () => ['', frame(PRIORITY, 0, 3, Buffer.from([0, 0, 0, 0, 1]))],
    '/packed': () => [Buffer.concat([Buffer.from(packed.head + '\r\n'), GZIP_HEAD]), EMPTY_BLOCK],
    '/small': () => [Buffer.concat([Buffer.from(packed.head + 'Transfer-Encoding: chunked\r\n\r\na\r\n'), GZIP_HEAD,
        Buffer.from('\r\n')]), Buffer.concat([Buffer.from('5\r\n'), EMPTY_BLOCK, Buffer.from('\r\n')])],
    '/extension': () => [OK + 'Transfer-Encoding: chunked\r\n\r\n1;x=', Buffer.from('aaaaaaaa')],
    proxy: () => ['HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 99999999999999\r\n\r\n',
        Buffer.from('x')],
};

function note(line) {
    fs.appendFileSync(portFile + '.floods', line + '\n');
}

function flood(socket, path) {
    const [head, piece] = floods[path]();
    const pieces = many(piece);
    const pour = () => {
        while (!socket.destroyed && socket.write(pieces));
    };
    const timer = setTimeout(() => {
        note(`${path} never`);
        socket.removeAllListeners('close');
        socket.destroy();
    }, LONGEST_MS);

    socket.on('drain', pour);
    socket.on('close', () => {
        clearTimeout(timer);
        note(`${path} by the other side`);
    });
    note(`${path} begins`);
    socket.write(head);
    pour();
}

// The path is in a block of headers, of which all strings may be packed: so it is looked for in the
// body, where the event has it too.
function serve(socket) {
    let got = Buffer.alloc(0);
    let started = false;

    socket.on('error', () => {});
    socket.on('data', (data) => {
        if (started)
            return;
        got = Buffer.concat([got, data]);
        const text = got.toString('latin1');
        const http2 = text.startsWith('PRI * HTTP/2');
        const path = text.startsWith('CONNECT ') ? 'proxy' :
            (/"flood":\s*"([^"]*)"/.exec(text) || [])[1];

        if (http2 && got.length >= PREFACE_BYTES && !socket.greeted) {
            socket.greeted = true;
            socket.write(Buffer.concat([frame(SETTINGS, 0, 0), frame(SETTINGS, ACK, 0)]));
        }
        if (path === undefined || (path === 'proxy' && !text.endsWith('\r\n\r\n')))
            return;
        started = true;
        flood(socket, path);
    });
}

const servers = [
    tls.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ALPNProtocols: ['h2', 'http/1.1'] }, serve),
    net.createServer(serve),
    net.createServer(serve),
];
let ports = [];

servers.forEach((server, i) => server.listen(0, '127.0.0.1', () => {
    ports[i] = server.address().port;
    if (ports.filter((port) => port).length === servers.length) {
        fs.writeFileSync(portFile + '.new', ports.join(' ') + '\n');
        fs.renameSync(portFile + '.new', portFile);
    }
}));
setInterval(() => process.ppid !== parent && process.exit(), 1000);
