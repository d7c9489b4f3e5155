// Answers to logins that cannot be judged, or where a webhook says less than it should; and tokens with unsupported
// demands, or over MQTT.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { clientFor } from '../helpers/clients.mjs'
import { post } from '../helpers/http.mjs'
import { connected, hears, mqttServer, tried } from '../helpers/mqtt.mjs'
import { freePort } from '../helpers/ports.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { atEnd, unique, until, within } from '../helpers/until.mjs'
import { Webhook } from '../helpers/webhook.mjs'
import { AUTH, TOPIC } from '../helpers/wire.mjs'

const SECRET = 'a secret that only tests know'
const read = { topic: 'record', action: 'head', recordName: 'x' }
const MESSAGE = 'nobody could judge this login, which says nothing about its data: try again later'

const webhook = (url, options = {}) => ({ type: 'http', options: { endpointUrl: url, permittedStatusCodes: [200], requestTimeout: 2000, ...options } })

/** A token as its parts are given: texts, signed as they stand. */
function token (header, claims) {
  const parts = [header, claims].map((part) => Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url'))
  const message = parts.join('.')
  return `${message}.${createHmac('sha256', SECRET).update(message).digest('base64url')}`
}
const soon = () => Math.floor(Date.now() / 1000) + 3600

async function login (t, server, data) {
  const raw = await Raw.challenged(server)
  atEnd(t, () => raw.terminate())
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify(data) })
  return { raw, answer: await raw.take() }
}

describe('a judge who is away is no wrong password', () => {
  test('over HTTP it is 503, on the login path and in requests', async (t) => {
    const server = await serverFor(t, { extra: { auth: [webhook(`http://127.0.0.1:${await freePort()}`)] } })
    for (const [body, options] of [[{ username: 'ann' }, { path: '/api/auth' }], [{ token: 't', body: [read] }, {}], [{ authData: {}, body: [read] }, {}]]) {
      const answer = await post(server, body, options)
      assert.deepEqual([answer.status, answer.json], [503, { error: 'AUTH_RETRY_ATTEMPTS_EXCEEDED', message: MESSAGE }])
    }
    await until('the log says so, with the address', () => server.log.includes('AUTH_UNSUCCESSFUL | nobody could judge the login from 127.0.0.1'))
    assert.ok(!server.log.includes('invalid authentication data'), server.log)
  })

  test('so is one who answers 500, nonsense, or not in time', async (t) => {
    const answers = { broken: [500, { why: 'database' }], gone: [502, '<html>Bad Gateway'], nonsense: [200, '{', 'application/json'] }
    const hook = await Webhook.start(t, ({ body }, respond) => { if (answers[body.authData.as]) respond(...answers[body.authData.as]) })
    const server = await serverFor(t, { extra: { auth: [webhook(hook.url, { requestTimeout: 300 })] } })
    for (const [as, told] of [
      ['broken', { why: 'database' }],
      ['gone', { error: '<html>Bad Gateway' }],
      ['nonsense', { error: 'AUTH_SERVER_ERROR', message: MESSAGE }],
      ['silent', { error: 'AUTH_RETRY_ATTEMPTS_EXCEEDED', message: MESSAGE }]
    ]) {
      const answer = await post(server, { as }, { path: '/api/auth' })
      assert.deepEqual([answer.status, answer.json], [503, told], as)
    }
  })

  test('keys that cannot be fetched are one, a token of nobody is not', async (t) => {
    const server = await serverFor(t, { extra: { auth: [{ type: 'jwt', options: { jwksUrl: `http://127.0.0.1:${await freePort()}/keys` } }] } })
    const signed = token({ alg: 'RS256', kid: 'k' }, { sub: 'ann', exp: soon() })
    const answer = await post(server, { token: signed, body: [read] })
    assert.deepEqual([answer.status, answer.json.error], [503, 'KEYS_UNAVAILABLE'])
    assert.equal((await post(server, { token: 'nonsense', body: [read] })).status, 401)
  })

  test('WebSockets are told so, it is no attempt, and the connection stays', async (t) => {
    const hook = await Webhook.start(t, ({ body }, respond) => respond(body.authData.down ? 503 : 200, body.authData.down ? '' : 'ann'))
    const server = await serverFor(t, { extra: { auth: [webhook(hook.url)] }, endpoint: { maxAuthAttempts: 2 } })
    const { raw, answer } = await login(t, server, { down: true })
    assertFields(answer, { action: AUTH.AUTH_UNSUCCESSFUL, data: JSON.stringify({ error: 'AUTH_SERVER_ERROR', message: MESSAGE }) })
    for (let round = 0; round < 4; round++) {
      raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{"down":true}' })
      assertFields(await raw.take(), { action: AUTH.AUTH_UNSUCCESSFUL })
    }
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
    const client = clientFor(t, server)
    client.mayFail = true
    const reason = await within('the official client to be told', client.login({ down: true }).then(() => undefined, (reason) => reason))
    assert.equal(reason.reason.error, 'AUTH_SERVER_ERROR')
    assert.ok(await within('it to log in on the same connection', client.login({}).then(() => true)))
  })

  test('MQTT says that the server is unavailable, and who is refused is not authorized', async (t) => {
    const hook = await Webhook.start(t, ({ body }, respond) => respond(body.authData.username === 'down' ? 503 : 401, ''))
    const server = await mqttServer(t, { extra: { auth: [webhook(hook.url)] } })
    for (const [protocolVersion, username, code] of [[4, 'down', 3], [5, 'down', 0x88], [4, 'ann', 5], [5, 'ann', 0x87]]) {
      const client = await tried(t, server, { protocolVersion, username, password: 'x' })
      await within('its end', client.left)
      assert.equal(client.failures[0]?.code, code, `${protocolVersion} ${username}`)
    }
  })

  test('one who was asked before could have known: a later no is none', async (t) => {
    const away = webhook(`http://127.0.0.1:${await freePort()}`)
    const file = { type: 'file', options: { users: { bob: { password: 'x' } }, reportInvalidParameters: true } }
    const server = await serverFor(t, { extra: { auth: [away, file] } })
    assert.equal((await post(server, { username: 'ann', password: 'y' }, { path: '/api/auth' })).status, 503)
    assert.equal((await post(server, { username: 'bob', password: 'x' }, { path: '/api/auth' })).status, 200)
  })
})

describe('a webhook is heard in its own words', () => {
  test('over HTTP too, texts and objects', async (t) => {
    const hook = await Webhook.start(t, ({ body }, respond) => respond(...body.authData.answer))
    const server = await serverFor(t, { extra: { auth: [webhook(hook.url)] } })
    for (const [answer, told] of [
      [[401, 'not you'], { error: 'not you' }],
      [[403, { why: ['late'], until: 5 }], { why: ['late'], until: 5 }],
      [[200, { isValid: false, clientData: { locked: true } }], { locked: true }]
    ]) {
      for (const [body, path] of [[{ answer }, '/api/auth'], [{ authData: { answer }, body: [read] }, '/api']]) {
        const refused = await post(server, body, { path })
        assert.deepEqual([refused.status, refused.json], [401, told])
      }
    }
    const text = await post(server, { answer: [200, { isValid: false, clientData: 'go away' }] }, { path: '/api/auth' })
    assert.deepEqual([text.status, text.text], [401, 'go away\r\n\r\n'])
  })

  test('0 is a user, and a yes without a name lets nobody in unless configured', async (t) => {
    const hook = await Webhook.start(t, ({ body }, respond) => respond(...body.authData.answer))
    const strict = await serverFor(t, { extra: { auth: [webhook(hook.url)] } })
    const zero = await login(t, strict, { answer: [200, { id: 0 }] })
    assertFields(zero.answer, { action: AUTH.AUTH_SUCCESSFUL })
    await until('the user is 0', () => strict.log.includes('AUTH_SUCCESSFUL | 0'))
    for (const body of [{}, { id: null }, { id: '' }, { id: null, clientData: { a: 1 } }]) {
      assertFields((await login(t, strict, { answer: [200, body] })).answer, { action: AUTH.AUTH_UNSUCCESSFUL })
      assert.equal((await post(strict, { answer: [200, body] }, { path: '/api/auth' })).status, 401)
    }
    assert.ok(strict.log.includes('idOptional: true'), 'the log says what to do')
    assert.ok(!strict.log.includes('AUTH_SUCCESSFUL | OPEN'), strict.log)
    assertFields((await login(t, strict, { answer: [200, ''] })).answer, { action: AUTH.AUTH_SUCCESSFUL })
    const lax = await serverFor(t, { extra: { auth: [webhook(hook.url, { idOptional: true })] } })
    for (const body of [{}, { id: null }]) assertFields((await login(t, lax, { answer: [200, body] })).answer, { action: AUTH.AUTH_SUCCESSFUL })
    await until('they are OPEN', () => lax.log.includes('AUTH_SUCCESSFUL | OPEN'))
  })
})

describe('tokens', () => {
  test('that demand what is not done here are refused', async (t) => {
    const server = await serverFor(t, { extra: { auth: [{ type: 'jwt', options: { secret: SECRET } }] } })
    const claims = { sub: 'ann', exp: soon() }
    assertFields((await login(t, server, { token: token({ alg: 'HS256', more: 1 }, claims) })).answer, { action: AUTH.AUTH_SUCCESSFUL })
    for (const [header, body] of [
      [{ alg: 'HS256', crit: ['http://example.com/must'], 'http://example.com/must': true }, claims],
      [{ alg: 'HS256', crit: ['b64'], b64: false }, claims],
      ['{"alg":"HS256","alg":"HS256"}', claims],
      [{ alg: 'HS256' }, `{"sub":"ann","exp":${soon()},"sub":"root"}`]
    ]) {
      const { answer } = await login(t, server, { token: token(header, body) })
      assertFields(answer, { action: AUTH.AUTH_UNSUCCESSFUL, data: '{"error":"invalid token"}' })
      assert.equal((await post(server, { token: token(header, body), body: [read] })).status, 401)
    }
  })

  test('are the password over MQTT', async (t) => {
    const server = await mqttServer(t, { extra: { auth: [{ type: 'jwt', options: { secret: SECRET } }] } })
    const password = token({ alg: 'HS256' }, { sub: 'ann', exp: soon() })
    const topic = unique('t')
    const listener = await connected(t, server, { username: 'anything', password })
    await until('the user is the one of the token', () => server.log.includes('AUTH_SUCCESSFUL | ann'))
    await listener.subscribeAsync(topic)
    // Version 5 needs no user name for a password.
    const other = await connected(t, server, { protocolVersion: 5, username: '', password })
    await other.publishAsync(topic, 'one', { qos: 1 })
    assert.deepEqual(await hears(listener, 1), [[topic, 'one']])
    if (spawnSync('mosquitto_pub', ['--help']).error === undefined) {
      const words = ['-h', '127.0.0.1', '-p', `${server.mqttPort}`, '-u', 'token', '-P', password, '-t', topic, '-m', 'two', '-q', '1']
      await within('mosquitto_pub', promisify(execFile)('mosquitto_pub', words))
      assert.deepEqual(await hears(listener, 2), [[topic, 'one'], [topic, 'two']])
    }
    const forged = await tried(t, server, { username: 'ann', password: `${password.slice(0, -3)}xyz` })
    await within('its end', forged.left)
    assert.equal(forged.failures[0]?.code, 5)
  })
})
