// frames.js
//     A receiver that writes HTTP/2 by hand:
//
//   frames.js broken FRAME PORT-FILE CERTIFICATE KEY
//     To three requests on the first connection it says nothing but that frame,
//     which is a connection error (RFC 9113), and does not close.  Every later
//     connection's requests are answered 200.
//   frames.js redirect URL PORT-FILE CERTIFICATE KEY
//     Answers 307 and ends the stream as soon as it has a request's head.
//   frames.js told JSON PORT-FILE CERTIFICATE KEY
//     An array, with an object for each of so many receivers, whose ports are in
//     the port file.  Each answers 200; on its first connections (connections: N,
//     or 1) it does as it is told when N more requests (at: N) than were answered
//     before (warm: N) are there, whole or by their heads (early: true), and if
//     they stay away, after three seconds:
//       most: N         SETTINGS, of as many streams; without at, from the start
//       code: C         GOAWAY with this error; of those N requests it takes as many
//       takes: N        as this, and answers no others
//       graceful: true  before that, a GOAWAY that takes all of them
//       answers: N      of those N requests it answers only so many, ...
//       frame: FRAME    ... and says that together with these (see broken)
//       end: HOW        as soon as these are answered: close or reset it; or, in one
//                       with the answers, notify (TLS ends, TCP does not) or
//                       garbage (no TLS, and then nothing)
//       after: MS       this end, and that frame, so long after the answers
//       silent: true    from then on it only reads ...
//       wakes: true     ... until another connection has a request
//       pings: true     ... and sends a PING when it has one
//     and on all connections:
//       delay: MS       so long after the request has come
//       head: BYTES     with a header of that size
//       heads: N        only its first so many answers
//       coding: NAME    with a body that is said to be packed so
//       endless: true   with a body that does not end
//       hangs: TEXT     no answer to what has that in its body
//       status: S       that instead of 200, which asks for a pause of 500 s and
//       location: URL   sends there
//       last: true      and resets the connection together with that
//       hasty: true     as soon as a request's head is there, and takes no more than
//                       64 kB of what follows
//       http1: true     also over HTTP/1.1, if asked to
//       insists: true   over HTTP/2 even if asked for HTTP/1.1
//       bare: HOW       if not asked for HTTP/2, TLS without a word of what is spoken,
//                       and then close or reset
//       wants: TEXT     HTTP/1.1 for what has that in its body, which it says of the
//                       stream ...
//       leaves: true    ... or by a GOAWAY that takes none ...
//       late: true      ... or of a stream soon after the head of its answer
//       refuses: N      the first so many streams
//       interim: true   103 for each request, well before it does what it is told
//       status1: S      that over HTTP/1.1, ...
//       odd1: true      ... of events whose ids end with an odd digit
//       lies: true      over HTTP/1.1 only, half an answer that says it is of HTTP/2
//       breaks: [N]     these connections of it, before TLS
//       tls: VERSION    not a later one, such as TLSv1.2
//       resets: true    each connection, which is not asked for HTTP/2, in one with
//                       the last of the handshake
//     What is answered is in PORT-FILE.answered: the event's id, the protocol, and
//     the number of the receiver's connection; what is refused, or wanted by
//     HTTP/1.1, is in PORT-FILE.refused: the event's id; which connections there were is in
//     PORT-FILE.connected: the receiver's number and that one; which of them are
//     closed is in PORT-FILE.left.  PORT-FILE.said has the numbers of receivers that
//     have said what comes after the answers.
//
// Ends with its parent.
//
// Copyright (c) 2026, the rswebhook maintainers

'use strict';

const fs = require('fs');
const net = require('net');
const stream = require('stream');
const tls = require('tls');

const [mode, argument, portFile, certificate, key] = process.argv.slice(2);
const parent = process.ppid;
const [DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] =
    [0, 1, 3, 4, 5, 6, 7, 8, 9];
const UNKNOWN = 200;
const END_STREAM = 1, END_HEADERS = 4, ACK = 1;
const MAX_STREAMS = 3, WINDOW = 4;
const REFUSED_STREAM = 7, HTTP_1_1_REQUIRED = 13;
const PREFACE_BYTES = 24;
const FRAME_BYTES = 16000;
const ALL_STREAMS = 0x7fffffff;
const PATIENCE_MS = 3000;
const SAYING_MS = 5; // until all of it is written
const LATE_MS = 300; // until the worker has read what came before

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

function setting(id, value)
{
    const bytes = Buffer.alloc(6);

    bytes.writeUInt16BE(id);
    bytes.writeUInt32BE(value, 2);
    return bytes;
}

const goaway = (last, code) => frame(GOAWAY, 0, 0, Buffer.concat([u32(last), u32(code)]));

// HPACK: indexed ":status: 200"; literals whose names are :status, location and
// retry-after
const ok = Buffer.from([0x88]);
const literal = (text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
const redirect = (url) => Buffer.concat([Buffer.from([0x08]), literal('307'), Buffer.from([0x0f, 0x1f]), literal(url)]);

const interim = Buffer.concat([Buffer.from([0x08]), literal('103')]);
const other = (status, location) => Buffer.concat([Buffer.from([0x08]), literal(String(status)),
    ...location ? [Buffer.from([0x0f, 0x1f]), literal(location)] : [], Buffer.from([0x0f, 0x26]), literal('500')]);

const broken = {
    'window-0': () => frame(WINDOW_UPDATE, 0, 0, u32(0)),
    'window-overflow': () => frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)),
    'headers-even': () => frame(HEADERS, END_HEADERS | END_STREAM, 2, ok),
    'data-0': () => frame(DATA, 0, 0, Buffer.from('x')),
    'ping-short': () => frame(PING, 0, 0, Buffer.alloc(7)),
    'settings-odd': () => frame(SETTINGS, 0, 0, Buffer.alloc(5)),
    'goaway-short': () => frame(GOAWAY, 0, 0, Buffer.alloc(7)),
    'rst-idle': () => frame(RST_STREAM, 0, 99, u32(0)),
    'data-idle': () => frame(DATA, 0, 99, Buffer.from('x')),
    'ping-byte': () => frame(PING, 0, 0, Buffer.alloc(1)),
    'settings-range': () => frame(SETTINGS, 0, 0, setting(MAX_STREAMS - 1, 2)),
    'settings-ack': () => frame(SETTINGS, ACK, 0, Buffer.alloc(0)),
    'text': () => Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'),
    'ping': () => frame(PING, 0, 0, Buffer.alloc(8)), // which is sound
    'much': () => Buffer.concat(Array(64).fill(frame(UNKNOWN, 0, 0, Buffer.alloc(1000)))), // likewise
    'push': () => frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([u32(2), ok])),
};

// A header whose name is literal and whose value is longer than 127 bytes
function long_header(size)
{
    const length = [127];

    for (let n = size - 127; n > 0 || length.length === 1; n >>= 7)
        length.push(n >= 128 ? n & 127 | 128 : n);
    return Buffer.concat([Buffer.from([0]), literal('x-long'), Buffer.from(length), Buffer.alloc(size, 'x')]);
}

// HEADERS, and CONTINUATION for what is too long for it
function headers(stream, block)
{
    const frames = [];

    for (let i = 0; i === 0 || i < block.length; i += FRAME_BYTES)
        frames.push(frame(i === 0 ? HEADERS : CONTINUATION, i + FRAME_BYTES < block.length ? 0 : END_HEADERS,
            stream, block.subarray(i, i + FRAME_BYTES)));
    return Buffer.concat(frames);
}

const answered = fs.openSync(`${portFile}.answered`, 'a');
const refused = fs.openSync(`${portFile}.refused`, 'a');
const connected = fs.openSync(`${portFile}.connected`, 'a');
const said = fs.openSync(`${portFile}.said`, 'a');
const left = fs.openSync(`${portFile}.left`, 'a');

function id_of(body)
{
    const id = /"messageId" ?: ?"([^"]+)"/.exec(body);

    return id ? id[1] : '?';
}

function write_down(body, protocol, number)
{
    fs.writeSync(answered, `${id_of(body)} ${protocol} ${number}\n`);
}

// Does as it is told on a connection, one of its receiver's; its take() is called
// for each frame
function Told(told, socket, front, number, siblings, receiver)
{
    const first = number <= (told.connections ?? 1);
    const warm = told.warm ?? 0;
    const requests = new Map(); // of all streams: the body, and whether that is whole
    const owed = new Set(); // streams that will be answered
    let last = ALL_STREAMS;
    let waits = first && told.at !== undefined; // for as many requests
    let ends = false;
    let silent = false;

    if (first && told.most !== undefined && !waits)
        socket.write(frame(SETTINGS, 0, 0, setting(MAX_STREAMS, told.most)));

    function act()
    {
        if (!waits)
            return;
        waits = false;
        if (told.silent) {
            silent = true;
            return;
        }
        socket.cork();
        if (told.most !== undefined)
            socket.write(frame(SETTINGS, 0, 0, setting(MAX_STREAMS, told.most)));
        if (told.code !== undefined) {
            last = [...requests.keys()].slice(0, warm + (told.takes ?? 0)).pop() ?? 0;
            socket.write(Buffer.concat([...told.graceful ? [goaway(ALL_STREAMS, 0)] : [], goaway(last, told.code)]));
        }
        if (told.answers !== undefined)
            [...owed].slice(told.answers).forEach((stream) => owed.delete(stream));
        for (const stream of owed) {
            if (stream > last)
                owed.delete(stream);
            else if (requests.get(stream).whole)
                answer(stream);
        }
        if (told.after === undefined)
            say_more();
        else
            setTimeout(say_more, told.after);
        socket.uncork();
    }

    function say_more()
    {
        if (told.frame)
            socket.write(broken[told.frame]());
        ends = true;
        end();
        if (told.after !== undefined)
            setTimeout(() => fs.writeSync(said, `${receiver}\n`), SAYING_MS);
    }

    function end()
    {
        if (!ends || owed.size > 0)
            return;
        if (told.end === 'close' || told.end === 'notify')
            socket.end();
        else if (told.end === 'reset')
            reset(front);
        else if (told.end === 'garbage')
            setTimeout(() => front.write(Buffer.alloc(64, 0x15)));
    }

    function want_http1(stream)
    {
        owed.delete(stream);
        if (told.late) {
            write_down(requests.get(stream).body, 'h2', number);
            socket.write(headers(stream, told.status ? other(told.status) : ok));
            return setTimeout(() => socket.write(frame(RST_STREAM, 0, stream, u32(HTTP_1_1_REQUIRED))), LATE_MS);
        }
        if (!told.leaves)
            return refuse(stream, HTTP_1_1_REQUIRED);
        last = Math.max(stream - 2, 0);
        [...owed].forEach((other) => other > last && owed.delete(other));
        socket.write(goaway(last, HTTP_1_1_REQUIRED));
        ends = true;
        end();
    }

    function answer(stream)
    {
        if (silent || told.hangs && requests.get(stream).body.includes(told.hangs))
            return;
        write_down(requests.get(stream).body, 'h2', number);
        const status = told.status ? other(told.status, told.location) : ok;

        const packed = told.coding ? Buffer.concat([Buffer.from([0x0f, 0x0b]), literal(told.coding)]) : Buffer.alloc(0);
        const is_long = told.head && !(told.heads-- <= 0);

        socket.write(headers(stream, Buffer.concat([status, packed, ...is_long ? [long_header(told.head)] : []])));
        socket.write(frame(DATA, told.endless ? 0 : END_STREAM, stream, Buffer.from('ok')), () => told.last && reset(front));
        owed.delete(stream);
        end();
    }

    // When what comes before it has been read
    const soon = (action) => told.interim ? setTimeout(action, LATE_MS) : action();

    function refuse(stream, code)
    {
        fs.writeSync(refused, `${id_of(requests.get(stream).body)}\n`);
        owed.delete(stream);
        soon(() => socket.write(frame(RST_STREAM, 0, stream, u32(code))));
    }

    this.wake = () => {
        silent = false;
        for (const stream of owed)
            answer(stream);
    };

    this.take = (type, flags, stream, payload) => {
        if (type > HEADERS)
            return;
        if (told.wakes)
            siblings.filter((one) => one !== this).forEach((one) => one.wake());
        if (type === HEADERS) {
            requests.set(stream, { body: '', whole: false });
            if (stream <= last)
                owed.add(stream);
            if (waits && requests.size === warm + 1)
                setTimeout(act, PATIENCE_MS);
        }
        const request = requests.get(stream);

        if (type === DATA)
            request.body += payload;
        request.whole = (flags & END_STREAM) !== 0;
        if (told.pings && request.whole)
            socket.write(frame(PING, 0, 0, Buffer.alloc(8)));

        const all = [...requests.values()];
        const nth = all.indexOf(request) + 1;

        if (told.interim && request.whole)
            socket.write(headers(stream, interim));
        if (told.refuses > 0 && request.whole) {
            told.refuses--;
            return refuse(stream, REFUSED_STREAM);
        }
        if (told.wants !== undefined && owed.has(stream) && (told.early || request.whole) && request.body.includes(told.wants))
            return want_http1(stream);
        if (told.hasty && type === HEADERS)
            answer(stream);
        if (request.whole && owed.has(stream) && (!waits || nth <= warm))
            setTimeout(() => owed.has(stream) && answer(stream), told.delay ?? 0);
        if ((told.early ? all.length : all.filter((r) => r.whole).length) === warm + told.at)
            soon(act);
    };
}

// Requests of HTTP/1.1 with a Content-Length, each answered when it is whole
function serve_http1(told, socket, number)
{
    let input = '';

    socket.on('data', (data) => {
        input += data;
        for (;;) {
            const head = input.indexOf('\r\n\r\n') + 4;
            const length = Number((/^content-length: *(\d+)/im.exec(input.substring(0, head)) ?? [0, 0])[1]);

            if (head < 4 || input.length < head + length)
                return;
            const body = input.substring(head, head + length);
            write_down(body, 'http1', number);
            input = input.substring(head + length);
            if (told.lies)
                return socket.end('HTTP/2 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it');
            const other = told.status1 && (!told.odd1 || /"messageId" ?: ?"[^"]*[13579]"/.test(body));
            socket.write(`HTTP/1.1 ${other ? told.status1 : 200} Whatever\r\n` + (told.head ? `x-long: ${'x'.repeat(told.head)}\r\n` : '')
                + (told.endless ? 'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n' : 'Content-Length: 2\r\n\r\nok'));
        }
    });
}

function reset(socket)
{
    if (socket.resetAndDestroy) socket.resetAndDestroy();
    else socket.destroy();
}

function serve(socket, front, number, told, siblings, receiver)
{
    let input = Buffer.alloc(0);
    let skip = PREFACE_BYTES;
    let whole = 0;
    let by_told;

    if (socket.alpnProtocol === 'http/1.1' && !told.insists)
        return serve_http1(told, socket, number);
    socket.write(told.hasty ? frame(SETTINGS, 0, 0, Buffer.alloc(0)) : Buffer.concat([
        frame(SETTINGS, 0, 0, setting(WINDOW, 1 << 24)), frame(WINDOW_UPDATE, 0, 0, u32(1 << 28))]));
    if (mode === 'told')
        siblings.push(by_told = new Told(told, socket, front, number, siblings, receiver));

    function take(type, flags, stream, payload)
    {
        if (type === SETTINGS && !(flags & ACK))
            socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
        else if (mode === 'told')
            by_told.take(type, flags, stream, payload);
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
            const [type, flags, stream] = [input[3], input[4], input.readUInt32BE(5) & ALL_STREAMS];
            const payload = input.subarray(9, 9 + length);

            input = input.subarray(9 + length);
            take(type, flags, stream, payload);
        }
    });
}

const context = (options) => tls.createSecureContext({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ...options });
const secureContext = context({});

// The socket as TLS knows it, which has no end, and writes as one what is written
// at once
function endless(front)
{
    const below = new stream.Duplex({
        read() {},
        write(chunk, encoding, done) {
            front.cork();
            front.write(chunk);
            setTimeout(() => front.uncork(), 1);
            done();
        },
        final(done) { done(); },
    });

    front.on('data', (chunk) => below.push(chunk));
    front.on('close', () => below.destroy());
    return below;
}

// The connection below TLS is at hand, to reset it
function listen(told, receiver)
{
    const ALPNProtocols = told.resets || told.lies ? ['http/1.1'] : told.http1 || told.insists ? ['h2', 'http/1.1'] : ['h2'];
    const siblings = [];
    let connections = 0;

    // TLS says what is spoken to those who ask for it; others hear nothing from then on
    function serve_named(front, hello)
    {
        const asked = hello.includes('\x02h2');

        front.pause();
        front.unshift(hello);
        const socket = new tls.TLSSocket(front, { isServer: true, secureContext, ...asked ? { ALPNProtocols: ['h2'] } : {} });

        for (const each of [socket, front])
            each.on('error', () => {});
        socket.on('secure', () => {
            if (asked)
                serve(socket, front, ++connections, told, siblings, receiver);
            else
                socket.once('data', () => told.bare === 'reset' ? reset(front) : socket.end());
        });
    }

    return net.createServer({ noDelay: true }, (front) => {
        if (told.breaks && told.breaks.includes(connections + 1)) {
            connections++;
            return reset(front);
        }
        if (told.bare)
            return front.once('data', (hello) => serve_named(front, hello));
        const by_hand = told.resets || ['notify', 'garbage'].includes(told.end);
        const socket = new tls.TLSSocket(by_hand ? endless(front) : front,
            { isServer: true, secureContext: told.tls ? context({ maxVersion: told.tls }) : secureContext, ALPNProtocols });

        for (const each of [socket, front])
            each.on('error', () => {});
        socket.on('secure', () => {
            const note = () => fs.writeSync(connected, `${receiver} ${++connections}\n`);

            if (told.resets)
                return setImmediate(() => { front.uncork(); reset(front); note(); });
            note();
            const number = connections;
            (by_hand ? front : socket).on('close', () => fs.writeSync(left, `${receiver} ${number}\n`));
            serve(socket, front, connections, told, siblings, receiver);
        });
    });
}

const servers = (mode === 'told' ? JSON.parse(argument) : [{}]).map(listen);

setInterval(() => process.ppid === parent || process.exit(0), 500);
Promise.all(servers.map((one) => new Promise((resolve) => one.listen(0, '127.0.0.1', resolve)))).then(() => {
    fs.writeFileSync(`${portFile}.new`, servers.map((one) => one.address().port).join(' '));
    fs.renameSync(`${portFile}.new`, portFile);
});
