// MQTT clients that are broken, slow, too many, or speak another protocol; other clients are not disturbed.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, test } from 'node:test'
import { loggedIn } from '../helpers/clients.mjs'
import { CONNECT, DISCONNECT, PINGREQ, PUBLISH, SUBSCRIBE, answers, bare, connected, mqttServer, packet, text } from '../helpers/mqtt.mjs'
import { atEnd, unique, until, within } from '../helpers/until.mjs'

/** Closed by the server, having heard exactly this. */
async function refused (socket, bytes, heard = []) {
  socket.write(bytes)
  await within('the end', socket.gone)
  assert.equal(socket.heard.toString('hex'), Buffer.from(heard).toString('hex'))
}

/** A packet of version 5 that says why in words too: behind these bytes, as a reason string. */
const reasoned = (first, fixed, words) => packet(first, Buffer.concat([Buffer.from([...fixed, words.length + 3, 0x1f]), text(words)]))

/** The packets in some bytes; none of them is long. */
function cutUp (bytes) {
  const packets = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + bytes[at + 1]
    packets.push(bytes.subarray(at, end))
    at = end
  }
  return packets
}

describe('hostile MQTT', () => {
  test('nothing is done for whoever did not log in', async (t) => {
    const server = await mqttServer(t)
    const watcher = await connected(t, server)
    const topic = unique('t')
    await watcher.subscribeAsync(topic)
    for (const bytes of [PUBLISH(topic, 'no'), PUBLISH(topic, '{}', { retain: 1, qos: 1 }), SUBSCRIBE(1, topic), PINGREQ, DISCONNECT]) {
      await refused(await bare(t, server), bytes)
    }
    await watcher.publishAsync(topic, 'yes', { qos: 1 })
    assert.deepEqual(watcher.heard.map(([, payload]) => payload), ['yes'])
  })

  test('other protocols on the port, and MQTT on the port of the others, are closed', async (t) => {
    const server = await mqttServer(t)
    await refused(await bare(t, server), 'GET /deepstream HTTP/1.1\r\nHost: x\r\n\r\n')
    await refused(await bare(t, server), Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]))
    await refused(await bare(t, server), packet(0x10, text('HTTP'), 4, 2, 0, 60, text('x')))
    const socket = net.connect({ port: server.port, host: '127.0.0.1' })
    atEnd(t, () => socket.destroy())
    socket.on('error', () => {}).on('data', () => {})
    socket.end(CONNECT())
    await within('the end', once(socket, 'close'))
    assert.equal((await loggedIn(t, server)).getConnectionState(), 'OPEN')
  })

  test('versions nobody speaks and clients without a name are refused by their code', async (t) => {
    const server = await mqttServer(t)
    await refused(await bare(t, server), CONNECT('x', { version: 3 }), [0x20, 2, 0, 1])
    await refused(await bare(t, server), CONNECT('x', { version: 9 }), reasoned(0x20, [0, 0x84], 'MQTT 3.1.1 and 5 are spoken here'))
    await refused(await bare(t, server), CONNECT('', { flags: 0 }), [0x20, 2, 0, 2])
    const unnamed = await bare(t, server)
    unnamed.write(CONNECT(''))
    assert.equal(await answers(unnamed, [0x20, 2, 0, 0]), '20020000')
  })

  test('what is too large or too deep is told so by version 5 and closed', async (t) => {
    const server = await mqttServer(t, { mqtt: { maxMessageSize: 1024 } })
    const welcome = Buffer.from('200a0000072700000400' + '2a00', 'hex')
    const cases = [
      [Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), 0x95, 'a packet above maxMessageSize'],
      [Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff]), 0x81, 'a packet that cannot be read'],
      [packet(0x30, text('a/#'), 0, 'x'), 0x90, 'a topic that is none'],
      [CONNECT('again', { version: 5 }), 0x82, 'a packet that may not come here, or no MQTT at all'],
      [packet(0xf0), 0x8c, 'enhanced authentication is not spoken here']
    ]
    for (const [bytes, code, words] of cases) {
      await refused(await bare(t, server), Buffer.concat([CONNECT('x', { version: 5 }), bytes]), Buffer.concat([welcome, reasoned(0xe0, [code], words)]))
      await until('a line', () => server.log.includes(`reason code 0x${code.toString(16)}: ${words}; address 127.0.0.1, user open, endpoint mqtt`))
    }
  })

  test('a conversation cut at every byte is the same conversation', async (t) => {
    const server = await mqttServer(t)
    const said = (topic) => Buffer.concat([CONNECT(topic), SUBSCRIBE(1, topic, 1), PUBLISH(topic, 'x', { qos: 1, id: 5 }), PINGREQ])
    const length = said('topic/000').length
    await Promise.all(Array.from({ length }, async (_, cut) => {
      const topic = `topic/${cut}`.padEnd(9, '.')
      const heard = [Buffer.from([0x20, 2, 0, 0]), Buffer.from([0x90, 3, 0, 1, 1]), PUBLISH(topic, 'x', { qos: 1, id: 1 }), Buffer.from([0x40, 2, 0, 5]), Buffer.from([0xd0, 0])]
      const socket = await bare(t, server)
      socket.write(said(topic).subarray(0, cut))
      await new Promise((resolve) => setImmediate(resolve))
      socket.write(said(topic).subarray(cut))
      await until('all is answered', () => socket.heard.length >= Buffer.concat(heard).length || socket.destroyed)
      // The answers of different shards come in any order.
      const hex = (packets) => packets.map((bytes) => bytes.toString('hex')).sort()
      assert.deepEqual(hex(cutUp(socket.heard)), hex(heard), `cut at ${cut}`)
    }))
  })

  test('half a CONNECT, and none at all, are closed in time', async (t) => {
    const server = await mqttServer(t, { mqtt: { unauthenticatedClientTimeout: 300 } })
    const [silent, half] = [await bare(t, server), await bare(t, server)]
    half.write(CONNECT().subarray(0, 9))
    await within('the end', Promise.all([silent.gone, half.gone]))
    assert.equal(silent.heard.length + half.heard.length, 0)
  })

  test('bytes that are no text are refused, never changed', async (t) => {
    const server = await mqttServer(t)
    const socket = await bare(t, server)
    await refused(socket, Buffer.concat([CONNECT(), PUBLISH('t', Buffer.from([0xff, 0xfe]), { qos: 1 })]), [0x20, 2, 0, 0])
    const modern = await connected(t, server, { protocolVersion: 5 })
    await assert.rejects(modern.publishAsync('t', Buffer.from([0xff]), { qos: 1 }), /Payload format invalid/i)
    assert.equal(modern.connected, true)
  })

  test('a client that acknowledges nothing is closed, others hear on', async (t) => {
    const server = await mqttServer(t, { limits: { outboxBytesMax: 65536, outboxHighWaterBytes: 16384 } })
    const topic = unique('t')
    const [sender, good] = [await connected(t, server), await connected(t, server)]
    await good.subscribeAsync(topic, { qos: 1 })
    const bad = await bare(t, server)
    bad.write(Buffer.concat([CONNECT('bad'), SUBSCRIBE(1, topic, 1)]))
    await answers(bad, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1])
    const payload = 'x'.repeat(500)
    let sent = 0
    let gone = false
    bad.gone.then(() => { gone = true })
    while (!gone) {
      await Promise.all(Array.from({ length: 50 }, () => sender.publishAsync(topic, payload, { qos: 1 })))
      sent += 50
      assert.ok(sent < 20000, 'it should be closed by now')
    }
    await until('the other heard everything', () => good.heard.length === sent)
  })

  test('nothing is left of clients that came, did everything and vanished', async (t) => {
    const server = await mqttServer(t)
    for (let round = 0; round < 20; round++) {
      const socket = await bare(t, server)
      const name = unique('t')
      socket.write(Buffer.concat([CONNECT(name), SUBSCRIBE(1, name, 1), PUBLISH(name, 'x', { qos: 1 }), PUBLISH(name, '{}', { qos: 1, id: 2, retain: 1 }), PUBLISH(name, '', { retain: 1 })]))
      if (round % 2) await until('it is welcome', () => socket.heard.length >= 4)
      socket.destroy()
    }
    await server.atRest()
  })
})
