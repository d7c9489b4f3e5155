// Clients that make the server hold memory: they read nothing, or never finish a message. There is one limit for all
// connections together, the heaviest are closed first, and the memory goes back to the operating system.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { freePort } from '../helpers/ports.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { connect, frame, said, UPGRADE } from '../helpers/tcp.mjs'
import { atEnd, unique, until } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, RECORD, TOPIC, encode } from '../helpers/wire.mjs'

const MB = 1 << 20
const TOTAL = 32 * MB
const LOGIN = Buffer.concat([
  UPGRADE,
  said(encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'ws://x', protocolVersion: '0.1a', sdkVersion: '7.1.0', sdkType: 'javascript' })),
  said(encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' }))
])

/** Sockets that say `words` and take nothing in. */
async function strangers (t, count, server, words, options = {}) {
  const sockets = await Promise.all(Array.from({ length: count }, async () => {
    const socket = await connect(server, options)
    socket.pause()
    socket.write(words)
    return socket
  }))
  atEnd(t, () => sockets.forEach((socket) => socket.destroy()))
  return sockets
}

/** Whoever asks is answered. */
async function serves (raw) {
  const name = unique('alive')
  raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}', isWriteAck: true, correlationId: name })
  assertFields(await raw.next({ correlationId: name }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
}

/** While something goes on: the most that the process has, in MB. Afterwards: what is held fits. */
async function most (server, during) {
  let peak = 0
  const look = setInterval(() => { if (server.running) peak = Math.max(peak, server.memory() >> 10) }, 20)
  try {
    await during()
  } finally {
    clearInterval(look)
  }
  const { held_bytes: held } = await server.census()
  assert.ok(held <= TOTAL, `${held} bytes are held`)
  return peak
}

const limits = { outboxBytesTotalMax: TOTAL }

describe('memory', () => {
  test('clients that never read hold no more than all may, and the memory goes back', async (t) => {
    const server = await serverFor(t, { memory: true, limits })
    const before = server.memory() >> 10
    const raw = await Raw.login(t, server)
    const name = unique('event')
    const words = Buffer.concat([LOGIN, said(encode(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [name], correlationId: '1' }))])
    const sockets = await strangers(t, 100, server, words)
    await until('all are subscribed', async () => (await server.census()).edge_members === 100)
    const event = said(encode(TOPIC.EVENT, { action: EVENT.EMIT, name, data: JSON.stringify('x'.repeat(1900)) }))
    const burst = Buffer.concat(Array.from({ length: 500 }, () => event))
    const emitter = await connect(server)
    atEnd(t, () => emitter.destroy())
    emitter.write(LOGIN)
    const peak = await most(server, async () => {
      // 2,000 bytes 20,000 times to a hundred: 4 GB, if anybody kept it.
      for (let round = 0; round < 40; round++) {
        await new Promise((resolve) => emitter.write(burst, resolve))
        await serves(raw)
      }
      await until('the heaviest are dropped', () => /limits\.outboxBytesTotalMax/.test(server.log))
    })
    assert.ok(peak < before + 300, `${before} MB became ${peak} MB`)
    sockets.forEach((socket) => socket.destroy())
    emitter.destroy()
    await until('nobody is left', async () => (await server.census()).connections === 1)
    let now
    await until('the memory is back', () => (now = server.memory() >> 10) < before + 60, { deadline: 15000 })
      .catch((error) => { throw new Error(`${before} MB became ${peak} MB and then ${now} MB\n${error.message}`) })
    t.diagnostic(`${before} MB, ${peak} MB at most, ${now} MB afterwards`)
    await serves(raw)
  })

  test('clients of HTTP that never read fall under the same bound, and the same clock', async (t) => {
    const server = await serverFor(t, { memory: true, limits: { ...limits, slowConsumerTimeoutMs: 1500 }, endpoint: { maxMessageSize: 8 * MB } })
    const raw = await Raw.login(t, server)
    const name = unique('large')
    raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify('x'.repeat(6 * MB)).replace(/^/, '{"a":').concat('}'), isWriteAck: true, correlationId: '1' })
    assertFields(await raw.next({ correlationId: '1' }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    const before = server.memory() >> 10
    const body = JSON.stringify({ body: [{ topic: 'record', action: 'read', recordName: name }] })
    const words = `POST /api HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const peak = await most(server, async () => {
      await strangers(t, 100, server, words)
      await until('the heaviest are dropped', () => /limits\.outboxBytesTotalMax/.test(server.log))
      await serves(raw)
    })
    assert.ok(peak < before + 300, `${before} MB became ${peak} MB`)
    // Connections within the limit are closed by their timeout, not a minute later.
    let told = false
    await until('nothing is held for them', async () => {
      told ||= /next to nothing was read for|limits\.slowConsumerTimeoutMs/.test(server.log)
      return told && (await server.census()).held_bytes < MB / 4
    }, { deadline: 12000, every: 100 })
  })

  test('what is begun and never ended falls under the same bound, on every wire', async (t) => {
    const mqtt = { port: await freePort(), maxMessageSize: 4 * MB }
    const server = await serverFor(t, { memory: true, limits, mqtt, endpoint: { maxMessageSize: 4 * MB }, textEndpoint: { maxMessageSize: 4 * MB }, httpEndpoint: { } , http: { maxMessageSize: 4 * MB } })
    const raw = await Raw.login(t, server)
    const rest = Buffer.alloc(900 << 10, 0x20)
    const part = (opcode, options) => Buffer.concat([frame(opcode, Buffer.alloc(0), { length: MB, ...options }), rest])
    const fragments = Buffer.concat([frame(2, rest.subarray(0, 450 << 10), { fin: false }), frame(0, rest.subarray(0, 450 << 10), { fin: false })])
    const connectPacket = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, 0])
    const cases = {
      'a message of protobuf': [LOGIN, part(2)],
      'fragments of one': [LOGIN, fragments],
      'a message of text': [Buffer.from(UPGRADE.toString().replace('/deepstream', '/deepstream-v3')), part(1)],
      'the body of a request': [Buffer.from(`POST /api HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${MB}\r\n\r\n`), rest],
      'a packet of MQTT': [connectPacket, Buffer.concat([Buffer.from([0x30, 0x80, 0x80, 0x40]), rest]), { port: mqtt.port }]
    }
    for (const [what, [hello, begun, options]] of Object.entries(cases)) {
      const before = server.memory() >> 10
      let sockets
      const peak = await most(server, async () => {
        sockets = await strangers(t, 80, server, Buffer.concat([hello, begun]), options)
        await until(`${what}: the heaviest are dropped`, () => sockets.filter((socket) => { socket.resume(); return socket.destroyed }).length >= 20)
        await serves(raw)
      })
      assert.ok(sockets.some((socket) => !socket.destroyed), `${what}: those that fit are served`)
      assert.ok(peak < before + 150, `${what}: ${before} MB became ${peak} MB`)
      sockets.forEach((socket) => socket.destroy())
      await until(`${what}: nobody is left`, async () => (await server.census()).connections === 1)
    }
    assert.equal((await server.census()).held_bytes, 0)
  })
})
