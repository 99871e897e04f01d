// receiver.js
//     What scripts/receiver cannot be: a receiver that speaks HTTP/2, and TLS
//     in front of scripts/receiver.  Run by NodeReceiver.pm.
//
//   node receiver.js --port-file FILE --ledger FILE --cert FILE --key FILE
//                    [--max-streams N] [--relay PORT]... [--rude-relay PORT]...
//                    [--hasty yes]
//
// The port file has the port for HTTP/2, the pid, a port for each relay, and the
// two of the hasty receiver.  A relay speaks TLS (HTTP/1.1) and passes all on to
// that port of 127.0.0.1; what happens to the connection there happens to its
// own: an end, a reset.  The rude one ends without close_notify.  All go away
// with the parent.
//
// The hasty receiver speaks HTTP/1.1, on its first port without TLS, and ends
// the connection together with its answer.  Its path is /N/STATUS/END[/WORD]: so
// many bytes of the body are read (or "all"), and END is reset, late (a reset
// that the next request may cross), close (without close_notify; what is unread
// makes it a reset, too) or keep.  The WORD may be unlimited (no Content-Length)
// or a rate, in bytes a second, to read with.
//
// The ledger is that of scripts/receiver: one line of JSON a request that has
// arrived whole, or that was answered before; and {t, connection, unasked}.
// The path is read from the left; the first unknown word, or the end, means 200.
//
//   /status/S               answer S
//   /retry-after/S/SECONDS  answer S with a Retry-After
//   /delay/MS               wait, then go on
//   /hang                   never answer
//   /reset/CODE             RST_STREAM with that code and no answer
//   /early/CODE             go on before the body is read, and RST_STREAM with
//                           that code after the answer
//   /half                   200 and half a body, then go on (to /together or /hang)
//   /refuse/N               REFUSED_STREAM for the first N attempts of each event
//   /goaway                 GOAWAY that does not take this stream, but for the
//                           event's first attempt only
//   /once                   200, but for an event's first attempt: go on
//   /together/N/END         when N of them are open on a session, or in 3 s, it ends:
//                           goaway (GOAWAY, then destroyed), destroy, socket
//   /then/MS/END            go on, and so long after the answer, if the session is
//                           idle: goaway (and close), socket (the end of that),
//                           failure (GOAWAY with an error, and close), silence
//                           (GOAWAY, and the connection stays)
//
// Copyright (c) 2026, the rswebhook maintainers

'use strict';

const fs = require('fs');
const http2 = require('http2');
const net = require('net');
const tls = require('tls');

const option = { relay: [], 'rude-relay': [] };
for (let i = 2; i < process.argv.length; i += 2) {
    const name = process.argv[i].replace(/^--/, '');
    if (Array.isArray(option[name])) option[name].push(Number(process.argv[i + 1]));
    else option[name] = process.argv[i + 1];
}

const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(0), 500);
process.on('SIGTERM', () => process.exit(0));

const cert = fs.readFileSync(option.cert);
const key = fs.readFileSync(option.key);
const ledger = fs.openSync(option.ledger, 'a');
const attempts = new Map();
let count = 0;
let sessions = 0;

function note(line) {
    fs.writeSync(ledger, JSON.stringify({ t: Date.now() / 1000, ...line }) + '\n');
}

// ---------------------------------------------------------------------
// HTTP/2
// ---------------------------------------------------------------------

const settings = option['max-streams'] ? { maxConcurrentStreams: Number(option['max-streams']) } : {};
const server = http2.createSecureServer({ cert, key, settings });
const sockets = new Map(); // the session's own lets nobody end it

server.on('secureConnection', (socket) => {
    sockets.set(socket.remotePort, socket);
    socket.on('error', () => { });
    socket.on('close', () => sockets.delete(socket.remotePort));
});

server.on('session', (session) => {
    session.number = ++sessions;
    session.port = session.socket.remotePort;
    session.open = new Set();
    session.on('error', () => { });
});

server.on('stream', (stream, headers) => {
    const session = stream.session;
    const request = { stream, session, headers, chunks: [], words: words(headers[':path']) };

    stream.on('error', () => { });
    stream.on('close', () => closed(request));
    session.open.add(request);
    if (request.words[0] === 'early') return answer(request);
    stream.on('data', (chunk) => request.chunks.push(chunk));
    stream.on('end', () => answer(request));
});

function words(path) {
    return path.replace(/\?.*/, '').split('/').slice(1).map(decodeURIComponent);
}

function attempt(request) {
    const id = request.headers['webhook-id'];
    const n = (attempts.get(id) || 0) + 1;
    attempts.set(id, n);
    return n;
}

function answer(request) {
    const { stream, session, words } = request;
    const head = { ':status': 200 };
    let delay = 0;
    let early;

    for (;;) {
        const word = words.shift();
        if (word === 'status') {
            head[':status'] = Number(words.shift());
            break;
        } else if (word === 'retry-after') {
            head[':status'] = Number(words.shift());
            head['retry-after'] = words.shift();
            break;
        } else if (word === 'delay') {
            delay = Number(words.shift());
        } else if (word === 'hang') {
            return write_down(request, 'hang', false);
        } else if (word === 'reset') {
            write_down(request, 'reset', false);
            return stream.close(Number(words.shift()));
        } else if (word === 'early') {
            early = Number(words.shift());
        } else if (word === 'half') {
            stream.respond(head);
            stream.write('half');
        } else if (word === 'refuse') {
            if (attempt(request) > Number(words.shift())) continue;
            write_down(request, 'refused', false);
            return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
        } else if (word === 'goaway') {
            if (attempt(request) > 1) continue;
            write_down(request, 'goaway', false);
            if (!session.going) session.goaway(0, stream.id > 2 ? stream.id - 2 : 0);
            session.going = true;
            session.open.delete(request);
            if (session.open.size === 0) setTimeout(() => session.destroy(), 20);
            return;
        } else if (word === 'together') {
            write_down(request, 'together', false);
            return together(request, Number(words.shift()), words.shift());
        } else if (word === 'once') {
            if (attempt(request) > 1) break;
        } else if (word === 'then') {
            request.then = [Number(words.shift()), words.shift()];
        } else {
            break;
        }
    }

    const accepted = head[':status'] >= 200 && head[':status'] < 300;
    setTimeout(() => {
        // with the session's end it may have been refused by now
        if (stream.destroyed || stream.closed) return;
        write_down(request, String(head[':status']), accepted);
        stream.respond(head);
        stream.end(accepted ? 'ok' : 'no', () => {
            if (early !== undefined) stream.close(early);
        });
    }, delay);
}

function together(request, n, end) {
    const session = request.session;

    request.together = true;
    if ([...session.open].filter((r) => r.together).length < n) {
        // on a slow machine one may be somewhere else by now
        setTimeout(() => end_session(session, end), 3000);
        return;
    }
    end_session(session, end);
}

function end_session(session, end) {
    if (session.over) return;
    session.over = true;
    note({ connection: session.number, unasked: end });
    if (end === 'socket') return sockets.get(session.port).destroy();
    if (end === 'goaway') session.goaway(0, 2 ** 31 - 1);
    setTimeout(() => session.destroy(), 20);
}

function closed(request) {
    const session = request.session;

    session.open.delete(request);
    if (session.going && session.open.size === 0) setTimeout(() => session.destroy(), 20);
    if (!request.then) return;
    const [ms, end] = request.then;
    setTimeout(() => {
        if (session.destroyed || session.open.size > 0) return;
        note({ connection: session.number, unasked: end });
        if (end === 'goaway') session.close();
        else if (end === 'silence') session.goaway(0, 2 ** 31 - 1);
        else if (end === 'socket') sockets.get(session.port).destroy();
        else session.destroy(http2.constants.NGHTTP2_INTERNAL_ERROR);
    }, ms);
}

function write_down(request, what, accepted) {
    const headers = {};
    for (const [name, value] of Object.entries(request.headers))
        if (!name.startsWith(':')) headers[name] = String(value);
    note({
        n: ++count,
        connection: request.session.number,
        stream: request.stream.id,
        method: request.headers[':method'],
        target: request.headers[':path'],
        headers,
        body: Buffer.concat(request.chunks).toString(),
        answer: what,
        accepted
    });
}

// ---------------------------------------------------------------------
// TLS before another receiver
// ---------------------------------------------------------------------

const secureContext = tls.createSecureContext({ cert, key });

// What was written last is on its way when its end has come so much later: an
// end must not overtake it.
const FLUSH_MS = 10;

function relay(to, rude) {
    return net.createServer({ allowHalfOpen: true, noDelay: true }, (front) => {
        const back = net.connect({ port: to, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
        const safe = new tls.TLSSocket(front, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });

        safe.pipe(back);
        back.pipe(safe, { end: false });
        back.on('end', () => setTimeout(() => rude ? front.end() : safe.end(), FLUSH_MS));
        back.on('error', () => setTimeout(() => reset(front), FLUSH_MS));
        for (const socket of [safe, front]) {
            socket.on('error', () => back.destroy());
            socket.on('close', () => back.destroy());
        }
    });
}

function reset(socket) {
    if (socket.resetAndDestroy) socket.resetAndDestroy();
    else socket.destroy();
}

// ---------------------------------------------------------------------
// Answers that come with the end of the connection
// ---------------------------------------------------------------------

const SLOW_CHUNK = 32768;

function hasty(front, secure) {
    const number = ++sessions;
    const socket = secure ? new tls.TLSSocket(front, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] }) : front;
    let request = begin();
    let busy = false;

    for (const one of [socket, front]) one.on('error', () => front.destroy());
    socket.on('readable', read);

    function begin() {
        return { start: Buffer.alloc(0), head: undefined, length: 0, got: 0 };
    }

    function read() {
        let chunk;
        while (!busy && (chunk = socket.read()) !== null) take(chunk);
    }

    // Of the body only its length is of interest.
    function take(chunk) {
        if (request.head === undefined) {
            request.start = Buffer.concat([request.start, chunk]);
            const end = request.start.indexOf('\r\n\r\n');
            if (end < 0) return;
            request.head = request.start.subarray(0, end).toString();
            request.length = Number((/\ncontent-length: *(\d+)/i.exec(request.head) || [0, 0])[1]);
            request.got = request.start.length - end - 4;
        } else {
            request.got += chunk.length;
        }
        const target = request.head.split(' ')[1];
        const [n, status, how, word] = words(target);

        request.whole = request.got >= request.length;
        if (!request.whole && (n === 'all' || request.got < Number(n))) {
            if (Number(word) > 0) wait(chunk.length / Number(word));
            return;
        }
        busy = true;
        answer(Number(status), how, word, target);
    }

    function wait(seconds) {
        busy = true;
        setTimeout(() => {
            busy = false;
            read();
        }, seconds * 1000);
    }

    function answer(status, how, word, target) {
        const id = /\nwebhook-id: *(\S+)/i.exec(request.head);

        note({
            n: ++count,
            connection: number,
            method: request.head.split(' ')[0],
            target: target.slice(0, 200),
            headers: id ? { 'webhook-id': id[1] } : {},
            body: '',    // of megabytes
            answer: `${status}`,
            accepted: request.whole && status >= 200 && status < 300
        });
        const length = word === 'unlimited' ? '' : 'Content-Length: 2\r\n';
        socket.write(`HTTP/1.1 ${status} Whatever\r\nLocation: /all/200/keep\r\n${length}\r\nok`, () => {
            if (how === 'reset') return reset(front);
            if (how === 'late') return setTimeout(() => reset(front), 1);
            if (how === 'close') return front.destroy();
            request = begin();
            busy = false;
            read();
        });
    }
}

const hasties = option.hasty ? [false, true].map((secure) =>
    net.createServer({ noDelay: true, highWaterMark: SLOW_CHUNK }, (socket) => hasty(socket, secure))) : [];

// ---------------------------------------------------------------------
// Start
// ---------------------------------------------------------------------

const all = [server, ...option.relay.map((to) => relay(to, false)), ...option['rude-relay'].map((to) => relay(to, true)), ...hasties];

Promise.all(all.map((one) => new Promise((resolve) => one.listen(0, '127.0.0.1', resolve)))).then(() => {
    const [first, ...others] = all.map((one) => one.address().port);
    fs.writeFileSync(`${option['port-file']}.new`, [first, process.pid, ...others].join(' ') + '\n');
    fs.renameSync(`${option['port-file']}.new`, option['port-file']);
});
