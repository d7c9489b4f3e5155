// The handshake, login, heartbeat and the ways a connection ends.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import WebSocket from 'ws'
import { clientFor, loggedIn, ready, untilData } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { LIVELY, REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, PARSER, RECORD, TOPIC, encode } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
const hex = (text) => Buffer.from(text, 'hex')

let server
before(async () => { server = await Server.start() })
after(() => server.discard())

describe('the official client', () => {
  test('a login without credentials succeeds and answers null', async (t) => {
    const client = clientFor(t, server)
    assert.equal(await within('login', client.login()), null)
    assert.equal(client.getConnectionState(), 'OPEN')
    assert.deepEqual(client.states.slice(-5), ['AWAITING_CONNECTION', 'CHALLENGING', 'AWAITING_AUTHENTICATION', 'AUTHENTICATING', 'OPEN'])
  })

  test('a login with any object succeeds under open authentication', async (t) => {
    const client = clientFor(t, server)
    const [success] = await within('login', new Promise((resolve) => client.login({ username: 'anna', nested: { a: [1] } }, (...answer) => resolve(answer))))
    assert.equal(success, true)
  })

  test('login before the connection is open waits for it', async (t) => {
    const client = clientFor(t, server, { lazyConnect: true })
    assert.equal(client.getConnectionState(), 'INITIALISING')
    await within('login', client.login())
    assert.equal(client.getConnectionState(), 'OPEN')
  })

  test('pause and resume log in again and keep the record in step', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('paused')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    one.pause()
    await until('the client is offline', () => one.getConnectionState() === 'OFFLINE')
    await within('the write', theirs.setWithAck({ while: 'away' }))
    await within('resume', one.resume())
    await untilData(mine, { while: 'away' })
  })

  test('close ends the connection for good', async (t) => {
    const client = await loggedIn(t, server)
    client.close()
    await until('the client is closed', () => client.getConnectionState() === 'CLOSED')
  })

  test('the client keeps its connection over many heartbeats', async (t) => {
    const quick = await serverFor(t, { endpoint: { heartbeatInterval: LIVELY } })
    const client = await loggedIn(t, quick, { heartbeatInterval: 0.8 * LIVELY })
    const probe = await Raw.login(t, quick)
    const end = Date.now() + 5 * LIVELY
    while (Date.now() < end) {
      await probe.untilPong()
      await until('time passes', ((next) => () => Date.now() > next)(Date.now() + LIVELY / 4))
    }
    assert.equal(client.states.filter((state) => state === 'RECONNECTING').length, 0)
    assert.equal(client.getConnectionState(), 'OPEN')
  })
})

describe('the handshake on the wire', () => {
  test('the golden frames of upstream are understood and answered byte for byte', async () => {
    const raw = await Raw.open(server)
    raw.bytes(hex('3210021a2e08052a1177733a2f2f682f6465657073747265616d3204302e31613a05372e302e35420a6a617661736372697074'))
    await raw.take()
    raw.bytes(hex('0a10031a06080212027b7d'))
    await raw.take()
    raw.bytes(hex('0610021a020802'))
    await raw.take()
    assert.deepEqual(raw.frames.map((frame) => frame.toString('hex')), ['0610021a020804', '0610031a020803', '0610021a020803'])
    raw.terminate()
  })

  test('the server says nothing before the challenge', async () => {
    const raw = await Raw.open(server)
    raw.event(EVENT.EMIT, { name: 'x' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.INVALID_MESSAGE })
    assert.equal(raw.frames.length, 1)
    raw.terminate()
  })

  test('anything but CONNECTION before the challenge is INVALID_MESSAGE and the connection stays', async () => {
    const raw = await Raw.open(server)
    for (const bytes of [encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' }), encode(TOPIC.RECORD, { action: RECORD.READ, name: 'x' }), hex('ffffff'), hex('00')]) {
      raw.bytes(bytes)
      assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.INVALID_MESSAGE }, bytes.toString('hex'))
    }
    raw.send(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'x' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    raw.terminate()
  })

  test('a challenge without any field is accepted', async () => {
    const raw = await Raw.open(server)
    raw.send(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE })
    assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    raw.terminate()
  })

  test('anything but AUTH between challenge and login is AUTH.INVALID_MESSAGE and the connection stays', async () => {
    const raw = await Raw.challenged(server)
    for (const bytes of [encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE }), encode(TOPIC.EVENT, { action: EVENT.EMIT, name: 'x' }), hex('ffffff')]) {
      raw.bytes(bytes)
      assert.deepEqual(await raw.take(), { topic: TOPIC.AUTH, action: AUTH.INVALID_MESSAGE }, bytes.toString('hex'))
    }
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.AUTH, action: AUTH.AUTH_SUCCESSFUL })
    raw.terminate()
  })

  for (const [what, data] of [['no data', undefined], ['a string', '"x"'], ['a number', '1'], ['null', 'null']]) {
    test(`an AUTH.REQUEST with ${what} is INVALID_MESSAGE_DATA and closes`, async () => {
      const raw = await Raw.challenged(server)
      raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data })
      assert.deepEqual(await raw.take(), { topic: TOPIC.AUTH, action: AUTH.INVALID_MESSAGE_DATA })
      await within('the close', raw.closed)
    })
  }

  for (const [what, data] of [['broken JSON', '{"a":'], ['empty data', '']]) {
    better(`an AUTH.REQUEST with ${what} is INVALID_MESSAGE_DATA and closes, and nobody else notices`, async (t) => {
      const neighbour = await Raw.login(t, server)
      const raw = await Raw.challenged(server)
      raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data })
      assert.deepEqual(await raw.take(), { topic: TOPIC.AUTH, action: AUTH.INVALID_MESSAGE_DATA })
      await within('the close', raw.closed)
      await neighbour.untilPong()
    })
  }

  better('an AUTH.REQUEST with bad UTF-8 is refused', async (t) => {
    const raw = await Raw.challenged(server)
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) })
    const answer = await raw.take()
    assert.equal(answer.topic, TOPIC.AUTH)
    assert.ok([AUTH.INVALID_MESSAGE, AUTH.INVALID_MESSAGE_DATA].includes(answer.action), JSON.stringify(answer))
    raw.terminate()
  })

  test('an AUTH action other than REQUEST is INVALID_MESSAGE_DATA and closes', async () => {
    const raw = await Raw.challenged(server)
    raw.send(TOPIC.AUTH, { action: AUTH.AUTH_SUCCESSFUL })
    assert.deepEqual(await raw.take(), { topic: TOPIC.AUTH, action: AUTH.INVALID_MESSAGE_DATA })
    await within('the close', raw.closed)
  })

  better('PING is answered before the challenge and before the login as well', async () => {
    const raw = await Raw.open(server)
    assert.deepEqual(await raw.untilPong(), [])
    raw.send(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE })
    assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    assert.deepEqual(await raw.untilPong(), [])
    raw.terminate()
  })

  test('a second challenge and a second login after the login are UNKNOWN_TOPIC', async (t) => {
    const raw = await Raw.login(t, server)
    for (const [topic, action] of [[TOPIC.CONNECTION, CONNECTION.CHALLENGE], [TOPIC.CONNECTION, CONNECTION.PONG], [TOPIC.AUTH, AUTH.REQUEST]]) {
      raw.send(topic, { action, data: '{}' })
      assertFields(await raw.take(), { topic: TOPIC.PARSER, action: PARSER.UNKNOWN_TOPIC })
    }
    assert.deepEqual(await raw.untilPong(), [])
  })

  better('several messages in one frame are all processed, in order', async () => {
    const raw = await Raw.open(server)
    raw.bytes(Buffer.concat([
      encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE }),
      encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' }),
      encode(TOPIC.CONNECTION, { action: CONNECTION.PING })
    ]))
    assert.deepEqual([await raw.take(), await raw.take(), await raw.take()], [
      { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT },
      { topic: TOPIC.AUTH, action: AUTH.AUTH_SUCCESSFUL },
      { topic: TOPIC.CONNECTION, action: CONNECTION.PONG }
    ])
    raw.terminate()
  })
})

describe('timeouts', () => {
  test('a client that does not log in is told and closed', async (t) => {
    const quick = await serverFor(t, { endpoint: { unauthenticatedClientTimeout: 150 } })
    for (const raw of [await Raw.open(quick), await Raw.challenged(quick)]) {
      assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.AUTHENTICATION_TIMEOUT })
      await within('the close', raw.closed)
    }
  })

  test('the official client reports the timeout, and later logins are refused by it', async (t) => {
    const quick = await serverFor(t, { endpoint: { unauthenticatedClientTimeout: 150 } })
    const client = clientFor(t, quick)
    client.mayFail = true
    await until('the timeout is reported', () => client.errors.some((error) => error.event === 'AUTHENTICATION_TIMEOUT'))
    client.login()
    await until('IS_CLOSED is reported', () => client.errors.some((error) => error.event === 'IS_CLOSED'))
  })

  test('a login in time stops the timer', async (t) => {
    const quick = await serverFor(t, { endpoint: { unauthenticatedClientTimeout: 200 } })
    const raw = await Raw.login(t, quick)
    const late = await Raw.open(quick)
    await within('the other connection to time out', late.closed)
    assert.deepEqual(await raw.untilPong(), [])
  })

  test('a silent connection is closed after two heartbeats, a talking one is not', async (t) => {
    const quick = await serverFor(t, { endpoint: { heartbeatInterval: LIVELY } })
    // A WebSocket that answers the server's pings is not silent.
    const [silent, talking] = [await Raw.login(t, quick, { autoPong: false }), await Raw.login(t, quick)]
    const timer = setInterval(() => talking.send(TOPIC.CONNECTION, { action: CONNECTION.PING }), 50)
    try {
      await within('the silent one to be closed', silent.closed)
      await talking.next({ topic: TOPIC.CONNECTION, action: CONNECTION.PONG })
      assert.equal(talking.ended, undefined)
    } finally {
      clearInterval(timer)
    }
  })
})

describe('WebSocket and HTTP', () => {
  test('a WebSocket ping is answered with the same payload', async (t) => {
    const raw = await Raw.login(t, server)
    const pong = once(raw.socket, 'pong')
    raw.socket.ping(Buffer.from('are you there'))
    const [payload] = await within('the pong', pong)
    assert.equal(payload.toString(), 'are you there')
  })

  test('a close is answered with a close', async (t) => {
    const raw = await Raw.login(t, server)
    raw.socket.close(1000)
    assert.equal((await within('the close', raw.closed)).code, 1000)
  })

  test('the health check answers 200', async () => {
    const response = await fetch(`http://${server.url}/health-check`)
    assert.equal(response.status, 200)
    assert.equal(await response.text(), '')
  })

  test('other paths are 404', async () => {
    const response = await fetch(`http://${server.url}/nowhere`)
    assert.equal(response.status, 404)
    await response.arrayBuffer()
  })

  better('an upgrade on another path is answered with 404', async () => {
    const socket = new WebSocket(`ws://${server.url}/elsewhere`)
    socket.on('error', () => {})
    const [, response] = await within('the refusal', once(socket, 'unexpected-response'))
    assert.equal(response.statusCode, 404)
    socket.terminate()
  })

  better('a query string on the path does not matter', async (t) => {
    const raw = await Raw.login(t, server, { path: '/deepstream?x=1&y=2' })
    assert.deepEqual(await raw.untilPong(), [])
  })

  test('a plain GET on the WebSocket path is refused and the server lives on', async () => {
    const response = await fetch(`http://${server.url}/deepstream`)
    assert.ok(response.status >= 400 && response.status < 500, `status ${response.status}`)
    await response.arrayBuffer()
    assert.equal(await server.health(), 200)
  })

  test('health checks over one kept connection are all answered', async () => {
    const socket = net.connect(server.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => { text += chunk })
    await once(socket, 'connect')
    for (let round = 1; round <= 3; round++) {
      socket.write('GET /health-check HTTP/1.1\r\nHost: x\r\n\r\n')
      await until('the answer', () => text.split('HTTP/1.1 200').length === round + 1 || socket.destroyed)
      if (socket.destroyed || /connection: close/i.test(text)) break
    }
    assert.match(text, /^HTTP\/1\.1 200/)
    socket.destroy()
  })
})
