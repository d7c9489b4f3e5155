// Ten thousand connections that are logged in and idle: what each costs, and that one event reaches
// the thousand that subscribed to it exactly once, in order, byte for byte.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import net from 'node:net'
import { test } from 'node:test'
import { Raw } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { atEnd, until } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, TOPIC, encode } from '../helpers/wire.mjs'

const WANTED = Number(process.env.DEEPSTREAM_CONNECTIONS ?? 10_000)
const SUBSCRIBERS = 1000
const EVENTS = 100
const MEMORY_KB_MAX = 32

/** This process and the server each need a descriptor per connection; both get the hard limit. */
const room = Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' })) || Infinity
const COUNT = Math.min(WANTED, room - 500)

const masked = (payload) => Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload])
const served = (payload) => Buffer.concat([Buffer.from([0x82, payload.length]), payload])
const UPGRADE = Buffer.from('GET /deepstream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
const HELLO = Buffer.concat([
  masked(encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'x' })),
  masked(encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' }))
])
const WELCOME = Buffer.concat([
  served(encode(TOPIC.CONNECTION, { action: CONNECTION.ACCEPT })),
  served(encode(TOPIC.AUTH, { action: AUTH.AUTH_SUCCESSFUL }))
])
const SUBSCRIBE = masked(encode(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, correlationId: '0', names: ['all'] }))
const SUBSCRIBED = served(encode(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, correlationId: '0', isAck: true }))

/** A logged-in connection without a library around it; `chunks` is what it heard since. */
function connect (port, index) {
  return new Promise((resolve, reject) => {
    const line = { chunks: [], bytes: 0 }
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + index % 100}` })
    line.socket = socket
    let head = Buffer.alloc(0)
    let upgraded = false
    const greet = (chunk) => {
      head = Buffer.concat([head, chunk])
      if (!upgraded) {
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        if (!head.toString('latin1').startsWith('HTTP/1.1 101')) return reject(new Error(head.toString('latin1')))
        upgraded = true
        head = head.subarray(end + 4)
        socket.write(HELLO)
      }
      if (head.length < WELCOME.length) return
      if (!head.equals(WELCOME)) return reject(new Error(`greeted with ${head.toString('hex')}`))
      socket.off('data', greet)
      socket.on('data', (later) => {
        line.chunks.push(later)
        line.bytes += later.length
      })
      resolve(line)
    }
    socket.on('data', greet)
    socket.on('error', reject)
    socket.on('close', () => {
      line.closed = true
      reject(new Error(`connection ${index} was closed`))
    })
    socket.write(UPGRADE)
  })
}

const heard = (line) => Buffer.concat(line.chunks)

test(`${COUNT} idle connections, and one event for ${SUBSCRIBERS} of them`, async (t) => {
  if (COUNT < WANTED) t.diagnostic(`only ${COUNT} instead of ${WANTED} connections: the limit of open files is ${room}`)
  const server = await serverFor(t, { endpoint: { heartbeatInterval: 600_000, unauthenticatedClientTimeout: 600_000 } })
  const publisher = await Raw.login(t, server)
  const before = server.memory()
  const lines = []
  atEnd(t, () => lines.forEach((line) => line.socket.destroy()))
  const started = Date.now()
  for (let index = 0; index < COUNT;) {
    const batch = Array.from({ length: Math.min(250, COUNT - index) }, () => connect(server.port, index++))
    lines.push(...await Promise.all(batch))
  }
  const seconds = (Date.now() - started) / 1000
  const each = (server.memory() - before) / COUNT
  t.diagnostic(`${COUNT} logins in ${seconds.toFixed(1)} s; ${each.toFixed(2)} kB of memory per idle connection (${before} kB before, ${server.memory()} kB with them)`)
  assert.ok(each < MEMORY_KB_MAX, `${each.toFixed(1)} kB per connection`)

  const chosen = lines.filter((_, index) => index % Math.floor(COUNT / SUBSCRIBERS) === 0).slice(0, SUBSCRIBERS)
  chosen.forEach((line) => line.socket.write(SUBSCRIBE))
  await until('all are subscribed', () => chosen.every((line) => line.bytes >= SUBSCRIBED.length), { deadline: 20000, every: 20 })
  const frames = Array.from({ length: EVENTS }, (_, index) => served(encode(TOPIC.EVENT, { action: EVENT.EMIT, data: String(index), name: 'all' })))
  const expected = Buffer.concat([SUBSCRIBED, ...frames])
  const sending = Date.now()
  for (let index = 0; index < EVENTS; index++) publisher.event(EVENT.EMIT, { name: 'all', data: String(index) })
  await until('every subscriber has every event', () => chosen.every((line) => line.bytes >= expected.length), { deadline: 60000, every: 20 })
  t.diagnostic(`${EVENTS * chosen.length} deliveries in ${Date.now() - sending} ms, seen from one Node process`)
  for (const line of chosen) assert.ok(heard(line).equals(expected), heard(line).toString('hex').slice(0, 400))

  // A connection that was idle all along is still in its place, and heard nothing but its own answer.
  const idle = lines.filter((line) => !chosen.includes(line))
  const ping = masked(encode(TOPIC.CONNECTION, { action: CONNECTION.PING }))
  const pong = served(encode(TOPIC.CONNECTION, { action: CONNECTION.PONG }))
  idle.forEach((line) => line.socket.write(ping))
  await until('every idle connection answers', () => idle.every((line) => line.bytes >= pong.length), { deadline: 60000, every: 20 })
  for (const line of idle) assert.ok(heard(line).equals(pong), heard(line).toString('hex').slice(0, 400))
  assert.ok(lines.every((line) => !line.closed))

  lines.splice(0).forEach((line) => line.socket.destroy())
  const fresh = await Raw.login(t, server)
  assert.deepEqual(await fresh.untilPong(), [])
  assert.equal(await server.health(), 200)
})
