// When the server closes a connection for breaking a rule, both the client and the log are told why.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import WebSocket from 'ws'
import { clientFor } from '../helpers/clients.mjs'
import { post } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { oldClientFor } from '../helpers/old-clients.mjs'
import { Raw } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { connect } from '../helpers/tcp.mjs'
import { Text } from '../helpers/text.mjs'
import { startSecured } from '../helpers/tls.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { AUTH, EVENT, TOPIC } from '../helpers/wire.mjs'

const plain = (t, options = {}) => serverFor(t, { memory: true, shards: 1, ...options })
const lines = (server, ...words) => server.log.split('\n').filter((each) => words.every((word) => each.includes(word)))
const line = (server, ...words) => until(`a line with ${words.join(', ')}`, () => lines(server, ...words)[0])
const closed = (peer) => within('the close', peer.closed)

describe('a message above maxMessageSize', () => {
  test('is named in the close frame and in the log, with who sent it and which key decides', async (t) => {
    const limit = { maxMessageSize: 2000 }
    const server = await plain(t, { endpoint: limit, jsonEndpoint: limit, textEndpoint: limit })
    const data = JSON.stringify('x'.repeat(3000))
    const raw = await Raw.login(t, server, { username: 'ann' })
    raw.event(EVENT.EMIT, { name: 'e', data })
    const json = await Json.login(t, server, { username: 'bob' })
    json.say({ topic: TOPIC.EVENT, action: EVENT.EMIT, name: 'e', data })
    const text = await Text.login(t, server, { username: 'cid' })
    text.say(`E|EVT|e|S${'x'.repeat(3000)}+`)
    for (const [peer, user, path, kind] of [[raw, 'ann', '/deepstream', 'ws-binary'], [json, 'bob', '/deepstream-json', 'ws-json'], [text, 'cid', '/deepstream-v3', 'ws-text']]) {
      assert.deepEqual(await closed(peer), { code: 1009, reason: 'a message above maxMessageSize (2000 bytes)' })
      await line(server, 'MAXIMUM_MESSAGE_SIZE_EXCEEDED | ', '(2000 bytes)', `; address 127.0.0.1, user ${user}, endpoint ${path}, key connectionEndpoints[${kind}].options.maxMessageSize`)
    }
  })

  test('however often: so many lines a minute, and the rest is counted', async (t) => {
    const server = await plain(t, { endpoint: { maxMessageSize: 2000 } })
    for (let round = 0; round < 40; round++) {
      const raw = await Raw.login(t, server)
      raw.bytes(Buffer.alloc(3000))
      assert.equal((await closed(raw)).code, 1009)
    }
    assert.equal(lines(server, 'MAXIMUM_MESSAGE_SIZE_EXCEEDED').length, 30)
    // One of another kind is not hidden by them.
    const raw = await Raw.login(t, server)
    raw.socket._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))
    assert.equal((await closed(raw)).code, 1002)
    await line(server, 'CONNECTION_ERROR | ', 'code 1002: a frame with an opcode')
    await server.end()
    await line(server, 'MAXIMUM_MESSAGE_SIZE_EXCEEDED | 10 more on this core: messages above maxMessageSize')
  })
})

describe('a client on a path that is not its own', () => {
  test('the current client on those of JSON and of the old ones', async (t) => {
    const server = await plain(t)
    for (const path of ['/deepstream-json', '/deepstream-v3']) {
      const client = clientFor(t, { url: `${server.url}${path}` })
      client.mayFail = true
      await line(server, 'code 1003: it speaks ws-binary, which has the path /deepstream;', `endpoint ${path},`, 'key connectionEndpoints[ws-binary].options.urlPath')
      client.close()
      const raw = await Raw.open(server, { path })
      raw.bytes(Buffer.from('0210021a020802', 'hex'))
      assert.deepEqual(await closed(raw), { code: 1003, reason: 'not spoken here: protobuf has the path /deepstream' })
    }
  })

  test('the old client, which waits for the server to speak first', async (t) => {
    const quick = { heartbeatInterval: 100 }
    const server = await plain(t, { endpoint: quick, jsonEndpoint: { unauthenticatedClientTimeout: 100 } })
    for (const path of ['/deepstream', '/deepstream-json']) {
      const client = oldClientFor(t, server, {}, path)
      client.mayFail = true
      await line(server, 'AUTHENTICATION_TIMEOUT | connection has said nothing', 'clients before release 4', 'want the path /deepstream-v3', `endpoint ${path},`)
      client.close()
      const mute = await Raw.open(server, { path })
      const { code, reason } = await closed(mute)
      assert.equal(code, 1008)
      assert.match(reason, /clients before release 4 want the path of ws-text \(\/deepstream-v3\)/)
    }
  })

  test('JSON and text where protobuf alone is spoken', async (t) => {
    const server = await plain(t, { textEndpoint: { textAfterSilence: 0 } })
    const json = await Json.open(t, server, { path: '/deepstream' })
    json.say({ topic: 2, action: 5, url: 'x' })
    assert.deepEqual(await closed(json), { code: 1003, reason: 'not spoken here: JSON has the path /deepstream-json' })
    const text = await Text.open(t, server, { path: '/deepstream' })
    text.say('A|REQ|{}+')
    assert.deepEqual(await closed(text), { code: 1003, reason: 'not spoken here: the text protocol has the path /deepstream-v3' })
  })

  test('a path that nobody has', async (t) => {
    const server = await plain(t)
    const socket = new WebSocket(`ws://${server.url}/wrong`)
    socket.on('error', () => {})
    await within('the end', new Promise((resolve) => socket.once('close', resolve)))
    await line(server, 'refused with status 404: no WebSocket has its path, only /deepstream, /deepstream-v3, /deepstream-json', 'address 127.0.0.1')
  })

  test('slashes at the end of a path are forgiven', async (t) => {
    const server = await plain(t)
    const raw = await Raw.login(t, server, { path: '/deepstream/' })
    assert.deepEqual(await raw.untilPong(), [])
    await Json.login(t, server, {}, { path: '/deepstream-json//' })
    const text = await Text.open(t, server, { path: '/deepstream-v3/' })
    text.say('A|REQ|{}+')
    await text.next('A|A')
    const asked = { body: [{ topic: 'event', action: 'emit', eventName: 'e' }] }
    assert.equal((await post(server, asked, { path: '/api/' })).status, 200)
    assert.equal((await post(server, { username: 'ann' }, { path: '/api/auth/' })).status, 200)
    assert.equal((await fetch(`http://${server.url}/health-check/`)).status, 200)
  })
})

describe('everything else that ends a connection', () => {
  test('logins that fail or do not come', async (t) => {
    const endpoint = { unauthenticatedClientTimeout: 300, maxAuthAttempts: 1 }
    const server = await plain(t, { endpoint, extra: { auth: [{ type: 'jwt', options: { secret: 'a secret that nobody knows, of some length' } }] } })
    const [late, wrong, senseless] = [await Raw.challenged(server), await Raw.challenged(server), await Raw.challenged(server)]
    wrong.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{"token":"none"}' })
    senseless.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '7' })
    assert.deepEqual(await closed(wrong), { code: 1008, reason: 'too many authentication attempts (maxAuthAttempts)' })
    assert.match((await closed(senseless)).reason, /^invalid authentication data/)
    assert.deepEqual(await closed(late), { code: 1008, reason: 'no login within the time of unauthenticatedClientTimeout' })
    const where = 'address 127.0.0.1, endpoint /deepstream, key'
    await line(server, 'TOO_MANY_AUTH_ATTEMPTS | too many authentication attempts; ', where, 'maxAuthAttempts')
    await line(server, 'INVALID_MESSAGE_DATA | invalid auth message; ', where, 'limits.authDataBytesMax')
    await line(server, 'AUTHENTICATION_TIMEOUT | connection has not authenticated successfully in the expected time; ', where, 'unauthenticatedClientTimeout')
  })

  test('readers that are too slow, connections that are too many, a server that stops', async (t) => {
    const server = await plain(t, { limits: { outboxHighWaterBytes: 1024, outboxBytesMax: 4096, connectionsMax: 3 } })
    const [slow, publisher] = [await Raw.login(t, server, { username: 'ann' }), await Raw.login(t, server)]
    slow.event(EVENT.SUBSCRIBE, { names: ['e'], correlationId: '1' })
    await slow.next({ topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE })
    slow.socket.pause()
    const full = 'CLOSED_SOCKET | slow consumer was closed: limits.outboxBytesMax is reached; address 127.0.0.1, user ann, endpoint /deepstream'
    await until('it is closed', async () => {
      publisher.event(EVENT.EMIT, { name: 'e', data: JSON.stringify('x'.repeat(100_000)) })
      return lines(server, full).length > 0
    })
    slow.socket.resume()
    assert.deepEqual(await closed(slow), { code: 1013, reason: 'read too slowly (limits.outboxBytesMax)' })
    const refused = []
    await until('one is refused', async () => {
      const socket = await connect(server)
      refused.push(socket)
      return lines(server, 'a connection was refused: limits.connectionsMax is reached; address 127.0.0.1').length > 0
    })
    refused.forEach((socket) => socket.destroy())
    await server.end()
    assert.deepEqual(await closed(publisher), { code: 1001, reason: 'the server is stopping' })
  })

  test('requests of HTTP that are too large or too slow', async (t) => {
    const server = await plain(t, { http: { maxMessageSize: 1000 }, httpEndpoint: { requestTimeout: 200 }, limits: { requestHeadBytesMax: 2000 } })
    const body = { body: [{ topic: 'event', action: 'emit', eventName: 'e', data: 'x'.repeat(2000) }] }
    assert.equal((await post(server, body)).status, 400)
    await line(server, 'MAXIMUM_MESSAGE_SIZE_EXCEEDED | ', 'address 127.0.0.1, endpoint http, key httpServer.options.maxMessageSize')
    const big = await connect(server)
    big.write(`GET /deepstream HTTP/1.1\r\nX: ${'x'.repeat(3000)}`)
    await big.gone
    await line(server, 'status 431: its head is too large; address 127.0.0.1', 'key limits.requestHeadBytesMax')
    const late = await connect(server)
    atEnd(t, () => late.destroy())
    late.write('POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{')
    await line(server, 'HTTP_REQUEST_TIMEOUT | ', 'address 127.0.0.1, endpoint http, key connectionEndpoints[http].options.requestTimeout')
  })

  test('what is no TLS', async (t) => {
    const server = await startSecured({ memory: true })
    atEnd(t, () => server.discard())
    const socket = await connect({ port: server.secured.port })
    socket.write('this is no handshake, and long enough to be seen as none')
    await socket.gone
    await line(server, 'CONNECTION_ERROR | a secured connection failed: ', 'address 127.0.0.1', 'key httpServer.options.ssl')
  })

  test('nothing that is not known is written as undefined or null', async (t) => {
    const server = await plain(t)
    const raw = await Raw.open(server)
    raw.bytes(Buffer.from('garbage'))
    await line(server, 'MESSAGE_PARSE_ERROR | not a message (127.0.0.1)')
    raw.terminate()
    await line(server, 'CLIENT_DISCONNECTED | nobody had logged in (127.0.0.1)')
    await line(server, 'INCOMING_CONNECTION | from (127.0.0.1)')
    const ann = await Raw.login(t, server, { username: 'ann' })
    ann.terminate()
    await until('she is gone', () => lines(server, 'CLIENT_DISCONNECTED | ann').some((each) => each.endsWith('| ann')))
    assert.deepEqual(lines(server, 'undefined').concat(lines(server, 'null')), [])
  })
})
