// Bytes and behaviour no client of ours would produce: the offender is answered or closed, and every
// other connection goes on as if nothing had happened.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { UPGRADE, connect, frame } from '../helpers/tcp.mjs'
import { atEnd, until, unique, within } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, PARSER, RECORD, TOPIC, encode, envelope, varint } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server

// A pair of bystanders lives through every test of this file and must never notice anything.
let speaker
let listener
let round = 0
before(async () => {
  server = await Server.start();
  [speaker, listener] = [await Raw.login(undefined, server), await Raw.login(undefined, server)]
  listener.event(EVENT.SUBSCRIBE, { names: ['bystander'], correlationId: '0' })
  await listener.take()
})
after(async () => {
  speaker?.terminate()
  listener?.terminate()
  await server.discard()
})
beforeEach(() => { round += 1 })
afterEach(async () => {
  speaker.event(EVENT.EMIT, { name: 'bystander', data: String(round) })
  assertFields(await listener.take(), { action: EVENT.EMIT, data: String(round) })
  assert.equal(await server.health(), 200)
})

/** Connected, until the test ends. */
async function tcp (t) {
  const socket = await connect(server)
  atEnd(t, () => socket.destroy())
  return socket
}

/** Upgraded by hand, for frames no library would send. */
async function upgraded (t) {
  const socket = await tcp(t)
  socket.write(UPGRADE)
  await until('the upgrade', () => socket.heard.includes('\r\n\r\n'))
  assert.match(socket.heard.toString('latin1'), /^HTTP\/1\.1 101 [^]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/)
  socket.forget()
  return socket
}

describe('frames', () => {
  test('garbage in a frame is UNKNOWN_TOPIC and the connection stays', async (t) => {
    const raw = await Raw.login(t, server)
    const garbage = [Buffer.alloc(0), Buffer.from([0]), Buffer.from('ff', 'hex'), Buffer.from('ffffffffffffffffffff', 'hex'), Buffer.from('0310051a', 'hex'), Buffer.from('hello there'), Buffer.alloc(1000, 0x80)]
    for (const bytes of garbage) {
      raw.bytes(bytes)
      assertFields(await raw.take(), { topic: TOPIC.PARSER, action: PARSER.UNKNOWN_TOPIC }, bytes.toString('hex'))
    }
    assert.deepEqual(await raw.untilPong(), [])
  })

  test('a message whose inner fields are broken is answered and the connection stays', async (t) => {
    const raw = await Raw.login(t, server)
    const bodies = [
      Buffer.from([0x08]), // an action whose value is missing
      Buffer.concat([varint(1 << 3), varint(18), varint((6 << 3) | 2), varint(200)]), // a name longer than the message
      Buffer.from([0x0b, 0x0c]), // groups
      Buffer.from([0x0f]) // a wire type that does not exist
    ]
    for (const body of bodies) {
      raw.bytes(envelope(TOPIC.RECORD, body))
      raw.send(TOPIC.CONNECTION, { action: CONNECTION.PING })
      const answer = await raw.next({ topic: TOPIC.CONNECTION, action: CONNECTION.PONG })
      assert.ok(answer && raw.passed.length <= 1, JSON.stringify(raw.passed))
    }
  })

  test('unknown fields are skipped', async (t) => {
    const raw = await Raw.login(t, server)
    const name = unique('fields')
    const body = Buffer.concat([
      varint(1 << 3), varint(RECORD.HEAD), varint((6 << 3) | 2), varint(name.length), Buffer.from(name),
      varint(200 << 3), varint(5), varint((201 << 3) | 2), varint(3), Buffer.from('abc'), varint((202 << 3) | 5), Buffer.alloc(4), varint((203 << 3) | 1), Buffer.alloc(8)
    ])
    raw.bytes(envelope(TOPIC.RECORD, body))
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, name, version: -1 })
  })

  better('a name that is not UTF-8 is refused', async (t) => {
    const raw = await Raw.login(t, server)
    raw.record(RECORD.READ, { name: Buffer.from([0xff, 0xfe]) })
    const answer = await raw.take()
    assert.ok([TOPIC.PARSER, TOPIC.RECORD].includes(answer.topic) && answer.action !== RECORD.READ_RESPONSE, JSON.stringify(answer))
    assert.deepEqual(await raw.untilPong(), [])
  })

  test('a frame above the limit closes with 1009', async (t) => {
    const raw = await Raw.login(t, server)
    raw.event(EVENT.EMIT, { name: 'bystander', data: JSON.stringify('x'.repeat(1_100_000)) })
    assert.equal((await within('the close', raw.closed)).code, 1009)
  })

  test('a frame that only announces a giant length is closed before it arrives', async (t) => {
    for (const length of [2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const socket = await upgraded(t)
      socket.write(frame(2, Buffer.alloc(10), { length }))
      await within('the close', socket.gone)
    }
  })

  test('many fragments that together exceed the limit are closed', async (t) => {
    const socket = await upgraded(t)
    socket.write(frame(2, Buffer.alloc(60_000), { fin: false }))
    for (let index = 0; index < 40; index++) socket.write(frame(0, Buffer.alloc(60_000), { fin: false }))
    await within('the close', socket.gone)
  })

  test('a fragmented message is put together, with a ping in between', async (t) => {
    const socket = await upgraded(t)
    const message = encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'x'.repeat(100) })
    socket.write(frame(2, message.subarray(0, 10), { fin: false }))
    socket.write(frame(9, Buffer.from('now')))
    socket.write(frame(0, message.subarray(10)))
    const [pong, accept] = ['8a036e6f77', '82070610021a020804']
    await until('pong and accept', () => socket.heard.length >= (pong.length + accept.length) / 2)
    assert.ok([pong + accept, accept + pong].includes(socket.heard.toString('hex')), socket.heard.toString('hex'))
  })

  test('a frame that arrives byte by byte is understood', async (t) => {
    const socket = await upgraded(t)
    socket.setNoDelay(true)
    for (const byte of frame(2, encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE }))) {
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
    }
    await until('the accept', () => socket.heard.length >= 9)
    assert.equal(socket.heard.toString('hex'), '82070610021a020804')
  })

  for (const [what, bytes] of [
    ['an unmasked frame', frame(2, Buffer.from([0]), { masked: false })],
    ['a reserved bit', frame(2, Buffer.from([0]), { rsv: 0x40 })],
    ['a reserved opcode', frame(3, Buffer.from([0]))],
    ['a continuation of nothing', frame(0, Buffer.from([0]))],
    ['a fragmented ping', frame(9, Buffer.from([0]), { fin: false })],
    ['a ping of 126 bytes', frame(9, Buffer.alloc(126))],
    ['a close with one byte', frame(8, Buffer.from([3]))]
  ]) {
    test(`${what} closes the connection`, async (t) => {
      const socket = await upgraded(t)
      socket.write(bytes)
      await within('the close', socket.gone)
    })
  }

  test('a text frame is an error reply or a close', async (t) => {
    const raw = await Raw.login(t, server)
    raw.socket.send('hello')
    await until('an answer or the close', () => raw.received.length > 0 || raw.ended)
  })

  test('random bytes after the upgrade, two hundred connections of them', async (t) => {
    await Promise.all(Array.from({ length: 200 }, async () => {
      const socket = await upgraded(t)
      socket.write(randomBytes(512))
      socket.end()
      await within('the close', socket.gone)
    }))
  })

  test('valid frames with random contents, a thousand of them on one connection', async (t) => {
    const raw = await Raw.login(t, server)
    for (let index = 0; index < 1000 && !raw.ended; index++) {
      const topic = [TOPIC.EVENT, TOPIC.RECORD, TOPIC.CONNECTION][index % 3]
      raw.bytes(index % 2 ? randomBytes(index % 97) : envelope(topic, randomBytes(index % 61)))
      if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    if (!raw.ended) await raw.untilPong()
  })
})

describe('the upgrade', () => {
  for (const [what, request] of [
    ['no HTTP at all', randomBytes(300)],
    ['a request line without end', 'GET /'.padEnd(200_000, 'x')],
    ['headers without end', `GET /deepstream HTTP/1.1\r\n${'X-Filler: aaaaaaaaaaaaaaaa\r\n'.repeat(20_000)}`],
    ['a TLS hello', Buffer.from('16030100c8010000c40303', 'hex')]
  ]) {
    test(`${what} does not stay connected`, async (t) => {
      const socket = await tcp(t)
      socket.write(request)
      socket.end()
      await within('the close', socket.gone, 15000)
    })
  }

  for (const [what, header] of [['no key', /Sec-WebSocket-Key.*\r\n/], ['no version', /Sec-WebSocket-Version.*\r\n/]]) {
    test(`an upgrade with ${what} is refused`, async (t) => {
      const socket = await tcp(t)
      socket.write(UPGRADE.toString().replace(header, ''))
      await until('the refusal', () => socket.heard.includes('\r\n\r\n') || socket.destroyed)
      assert.match(socket.heard.toString('latin1'), /^HTTP\/1\.1 4\d\d/)
    })
  }

  test('a request cut into single bytes is upgraded', async (t) => {
    const socket = await tcp(t)
    socket.setNoDelay(true)
    for (const byte of UPGRADE) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
    await until('the upgrade', () => socket.heard.includes('\r\n\r\n'))
    assert.match(socket.heard.toString('latin1'), /^HTTP\/1\.1 101/)
  })

  test('the first frame glued to the upgrade request is not lost', async (t) => {
    const socket = await tcp(t)
    socket.write(Buffer.concat([UPGRADE, frame(2, encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE }))]))
    await until('the accept', () => socket.heard.toString('hex').endsWith('82070610021a020804'))
  })
})

describe('connections', () => {
  test('five hundred connects that say nothing and leave', async (t) => {
    const sockets = await Promise.all(Array.from({ length: 500 }, () => tcp(t)))
    sockets.forEach((socket) => socket.destroy())
    await Promise.all(sockets.map((socket) => within('the close', socket.gone)))
  })

  test('a connection reset in the middle of a frame', async (t) => {
    for (let index = 0; index < 50; index++) {
      const socket = await upgraded(t)
      socket.write(frame(2, Buffer.alloc(5000)).subarray(0, 100 * index))
      socket.resetAndDestroy()
    }
  })

  test('a half-closed connection is closed by the server', async (t) => {
    const socket = await upgraded(t)
    socket.end()
    await within('the close', socket.gone)
  })

  test('what a client said before it closed its side is heard to the end', async (t) => {
    const name = unique('last-words')
    listener.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '0' })
    await listener.take()
    const words = Array.from({ length: 300 }, (_, index) => frame(2, encode(TOPIC.EVENT, { action: EVENT.EMIT, name, data: String(index) })))
    for (let index = 0; index < 10; index++) {
      const socket = await tcp(t)
      // Everything behind the login waits for its verdict, and by then the end has come as well.
      socket.end(Buffer.concat([
        UPGRADE,
        frame(2, encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE })),
        frame(2, encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })),
        ...words
      ]))
      for (let word = 0; word < words.length; word++) assertFields(await listener.take(), { action: EVENT.EMIT, name, data: String(word) })
      await within('the close', socket.gone)
    }
  })

  test('a client that logs in, subscribes and vanishes two hundred times leaves nothing behind', async (t) => {
    const name = unique('vanish')
    for (let index = 0; index < 200; index++) {
      const raw = await Raw.login(undefined, server)
      raw.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '0' })
      raw.record(RECORD.SUBSCRIBECREATEANDREAD, { names: [name], correlationId: '0' })
      raw.terminate()
    }
    const raw = await Raw.login(t, server)
    raw.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '0' })
    assertFields(await raw.take(), { isAck: true })
    speaker.event(EVENT.EMIT, { name, data: '1' })
    assertFields(await raw.take(), { action: EVENT.EMIT, data: '1' })
  })

  test('a flood of ten thousand messages from one connection is worked off completely', async (t) => {
    const raw = await Raw.login(t, server)
    const name = unique('flood')
    for (let index = 0; index < 10_000; index++) raw.record(RECORD.HEAD, { name })
    for (let index = 0; index < 10_000; index++) assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, version: -1 })
  })

  test('a flood of pings in one frame is answered ping by ping', { skip: REFERENCE }, async (t) => {
    const raw = await Raw.login(t, server)
    const ping = encode(TOPIC.CONNECTION, { action: CONNECTION.PING })
    raw.bytes(Buffer.concat(Array(5000).fill(ping)))
    for (let index = 0; index < 5000; index++) assertFields(await raw.take(), { action: CONNECTION.PONG })
  })
})
