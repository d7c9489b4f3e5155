// Connections of living clients stay open, however seldom they send something; those of dead ones are closed in time,
// with a code, a reason and a line in the log.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn } from '../helpers/clients.mjs'
import { Json } from '../helpers/json.mjs'
import { Raw } from '../helpers/raw.mjs'
import { LIVELY, serverFor } from '../helpers/server.mjs'
import { connect, frame } from '../helpers/tcp.mjs'
import { Text } from '../helpers/text.mjs'
import { atEnd, until } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, TOPIC, encode } from '../helpers/wire.mjs'

const HEARTBEAT = LIVELY
/** Long enough for a connection to be closed several times over. */
const LONG = 8 * HEARTBEAT

const quick = (t, options = {}) => {
  const endpoint = { heartbeatInterval: HEARTBEAT }
  return serverFor(t, { memory: true, endpoint, textEndpoint: endpoint, jsonEndpoint: endpoint, ...options })
}

/** Calls this often until the test ends. */
function often (t, what) {
  const timer = setInterval(what, 20)
  atEnd(t, () => clearInterval(timer))
}

const passed = (began, ms = LONG) => until('some time has passed', () => Date.now() - began > ms, { deadline: ms + 5000 })

/** The line of the log that has all of these words. */
const line = (server, ...words) => until(`a line with ${words.join(', ')}`, () => server.log.split('\n').find((each) => words.every((word) => each.includes(word))))

describe('whoever is there', () => {
  test('an official client that pings sixty times more seldom stays, receiving and idle', async (t) => {
    const server = await quick(t)
    const [receiver, idle, publisher] = [
      await loggedIn(t, server, { heartbeatInterval: 30_000 }),
      await loggedIn(t, server, { heartbeatInterval: 30_000 }),
      await loggedIn(t, server, { heartbeatInterval: LIVELY })
    ]
    let received = 0
    receiver.event.subscribe('tick', () => { received += 1 })
    const began = Date.now()
    often(t, () => publisher.event.emit('tick'))
    await passed(began)
    assert.ok(received > 10, `${received} events came`)
    for (const client of [receiver, idle]) assert.deepEqual(client.states.filter((state) => state === 'RECONNECTING'), [])
  })

  test('in JSON mode too', async (t) => {
    const server = await quick(t)
    const json = await Json.login(t, server)
    await passed(Date.now())
    assert.equal(json.ended, undefined)
  })

  test('pings of WebSocket are signs of life, on every path', async (t) => {
    const server = await quick(t)
    const peers = [
      await Raw.login(t, server, { autoPong: false }),
      await Json.login(t, server, {}, { autoPong: false }),
      await Text.login(t, server)
    ]
    often(t, () => peers.forEach((peer) => peer.socket.ping()))
    await passed(Date.now())
    assert.deepEqual(peers.map((peer) => peer.ended), [undefined, undefined, undefined])
  })

  test('so are the parts of a message that takes its time', async (t) => {
    const server = await quick(t)
    const socket = await connect(server)
    atEnd(t, () => socket.destroy())
    socket.write('GET /deepstream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
    socket.write(frame(2, encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'x' })))
    socket.write(frame(2, encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })))
    const emit = frame(2, encode(TOPIC.EVENT, { action: EVENT.EMIT, name: 'slow', data: JSON.stringify('x'.repeat(2000)) }))
    const listener = await Raw.login(t, server)
    listener.event(EVENT.SUBSCRIBE, { names: ['slow'], correlationId: '1' })
    await listener.next({ topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE })
    const began = Date.now()
    let at = 0
    while (at < emit.length) {
      const due = Math.min(emit.length, Math.ceil(emit.length * (Date.now() - began) / LONG))
      if (due > at) socket.write(emit.subarray(at, due))
      at = Math.max(at, due)
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(socket.destroyed, false, 'it was closed in the middle of a message')
    }
    const event = await listener.next({ topic: TOPIC.EVENT, action: EVENT.EMIT, name: 'slow' })
    assert.equal(event.data.length, 2002)
  })
})

describe('whoever is gone', () => {
  test('is asked, then closed within the bound, and told why', async (t) => {
    const server = await quick(t, { extra: { logger: { name: 'pino' } } })
    const gone = await Raw.login(t, server, { autoPong: false, username: 'ann' })
    let asked = 0
    gone.socket.on('ping', () => { asked += 1 })
    const began = Date.now()
    const { code, reason } = await gone.closed
    assert.ok(Date.now() - began < 3 * HEARTBEAT + 1000, `closed after ${Date.now() - began} ms`)
    assert.deepEqual([code, reason, asked], [4408, 'nothing was heard for two intervals (heartbeatInterval)', 1])
    const { level, event, message } = JSON.parse(await line(server, 'Heartbeat missing'))
    assert.deepEqual([level, event], [30, 'INFO'], 'no fault of the server')
    assert.match(message, /^Heartbeat missing on websocket, terminating connection: nothing was heard for \d+ ms; address 127\.0\.0\.1, user ann, endpoint \/deepstream, key connectionEndpoints\[ws-binary\]\.options\.heartbeatInterval$/)
  })

  test('before its login too, and what drips in before the upgrade is no life', async (t) => {
    const server = await quick(t)
    const challenged = await Raw.challenged(server, { autoPong: false })
    const dripping = await connect(server)
    atEnd(t, () => dripping.destroy())
    dripping.write('GET /deepstream HTTP/1.1\r\nX: ')
    often(t, () => { if (!dripping.destroyed) dripping.write('x') })
    await Promise.all([challenged.closed, dripping.gone])
    assert.equal(challenged.ended.code, 4408)
  })

  test('on the path of old clients, who answer in their own words', async (t) => {
    const server = await quick(t)
    const text = await Text.login(t, server)
    assert.equal((await text.closed).code, 4408)
  })
})
