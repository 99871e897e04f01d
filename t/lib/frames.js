// frames.js
//     A receiver that writes HTTP/2 by hand:
//
//   frames.js broken FRAME PORT-FILE CERTIFICATE KEY
//     To three requests on the first connection it says nothing but that frame,
//     which is a connection error (RFC 9113), and does not close.  Every later
//     connection's requests are answered 200.
//   frames.js redirect URL PORT-FILE CERTIFICATE KEY
//     Answers 307 and ends the stream as soon as it has a request's head.
//
// Ends with its parent.
//
// Copyright (c) 2026, the rswebhook maintainers

'use strict';

const fs = require('fs');
const tls = require('tls');

const [mode, argument, portFile, certificate, key] = process.argv.slice(2);
const parent = process.ppid;
const [DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE] = [0, 1, 3, 4, 5, 6, 7, 8];
const END_STREAM = 1, END_HEADERS = 4, ACK = 1;
const PREFACE_BYTES = 24;

function u32(n)
{
    const bytes = Buffer.alloc(4);

    bytes.writeUInt32BE(n);
    return bytes;
}

function frame(type, flags, stream, payload)
{
    const head = Buffer.alloc(9);

    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
}

// HPACK: indexed ":status: 200"; literals whose names are :status and location
const ok = Buffer.from([0x88]);
const literal = (text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
const redirect = (url) => Buffer.concat([Buffer.from([0x08]), literal('307'), Buffer.from([0x0f, 0x1f]), literal(url)]);

const broken = {
    'window-0': () => frame(WINDOW_UPDATE, 0, 0, u32(0)),
    'window-overflow': () => frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)),
    'headers-even': () => frame(HEADERS, END_HEADERS | END_STREAM, 2, ok),
    'data-0': () => frame(DATA, 0, 0, Buffer.from('x')),
    'ping-short': () => frame(PING, 0, 0, Buffer.alloc(7)),
    'settings-odd': () => frame(SETTINGS, 0, 0, Buffer.alloc(5)),
    'goaway-short': () => frame(GOAWAY, 0, 0, Buffer.alloc(7)),
    'rst-idle': () => frame(RST_STREAM, 0, 99, u32(0)),
    'push': () => frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([u32(2), ok])),
};

let connections = 0;

function serve(socket)
{
    const number = ++connections;
    let input = Buffer.alloc(0);
    let skip = PREFACE_BYTES;
    let whole = 0;
    const window = Buffer.alloc(6);

    window.writeUInt16BE(4);
    window.writeUInt32BE(1 << 24, 2);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.write(Buffer.concat([frame(SETTINGS, 0, 0, window), frame(WINDOW_UPDATE, 0, 0, u32(1 << 28))]));

    function take(type, flags, stream)
    {
        if (type === SETTINGS && !(flags & ACK))
            socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
        else if (mode === 'redirect' && type === HEADERS)
            socket.write(Buffer.concat([
                frame(HEADERS, END_HEADERS, stream, redirect(argument)),
                frame(DATA, END_STREAM, stream, Buffer.from('moved'))]));
        else if (mode === 'broken' && type <= HEADERS && flags & END_STREAM) {
            if (number > 1)
                socket.write(frame(HEADERS, END_HEADERS | END_STREAM, stream, ok));
            else if (++whole === 3)
                socket.write(broken[argument]());
        }
    }

    socket.on('data', (data) => {
        input = Buffer.concat([input, data]);
        if (input.length < skip)
            return;
        input = input.subarray(skip);
        skip = 0;
        while (input.length >= 9 && input.length >= 9 + input.readUIntBE(0, 3)) {
            const length = input.readUIntBE(0, 3);
            const [type, flags, stream] = [input[3], input[4], input.readUInt32BE(5) & 0x7fffffff];

            input = input.subarray(9 + length);
            take(type, flags, stream);
        }
    });
}

const server = tls.createServer(
    { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ALPNProtocols: ['h2'] }, serve);

setInterval(() => process.ppid === parent || process.exit(0), 500);
server.listen(0, '127.0.0.1', () => {
    fs.writeFileSync(`${portFile}.new`, String(server.address().port));
    fs.renameSync(`${portFile}.new`, portFile);
});
