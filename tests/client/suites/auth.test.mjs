// Who may log in: users of a file, a webhook, the storage, several of them in order, and reading them again.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { clientFor, loggedIn } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { freePort } from '../helpers/ports.mjs'
import { BINARY, REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { Webhook, certificate } from '../helpers/webhook.mjs'
import { AUTH, CONNECTION, EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE
const HASHED = 'rCOSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=GS4SbTQYmoaGwjm2shEobg=='
const MD5 = { hash: 'md5', iterations: 100, keyLength: 32 }

/** A server with these ways of logging in, and with files beside its configuration. */
async function serverWith (t, auth, { files = {}, ...options } = {}) {
  const server = await Server.prepare({ ...options, extra: { auth, ...options.extra } })
  atEnd(t, () => server.discard())
  for (const [name, text] of Object.entries(files)) write(server, name, text)
  await server.launch()
  return server
}

function write (server, name, text) {
  const file = path.join(server.directory, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/** What is told where nobody could judge. */
const unable = (error) => JSON.stringify({ error, message: 'nobody could judge this login, which says nothing about its data: try again later' })
const EXHAUSTED = unable('AUTH_RETRY_ATTEMPTS_EXCEEDED')
const BROKEN = unable('AUTH_SERVER_ERROR')

const users = (entries) => ({ type: 'file', options: { users: entries } })

function webhook (hook, options = {}) {
  return { type: 'http', options: { endpointUrl: hook.url, permittedStatusCodes: [200], requestTimeout: 5000, ...options } }
}

/** The reason of a refused login of the official client. */
async function refused (t, server, login, options = {}) {
  const client = clientFor(t, server, options)
  client.mayFail = true
  const outcome = await within('a refusal', client.login(login).then((data) => ({ data }), (reason) => ({ reason })))
  assert.ok(outcome.reason, `${JSON.stringify(login)} was let in`)
  return outcome.reason
}

/** Sends one login and answers what comes back. */
async function login (raw, data) {
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: typeof data === 'string' ? data : JSON.stringify(data) })
  return raw.take()
}

async function challenged (t, server, options) {
  const raw = await Raw.challenged(server, options)
  atEnd(t, () => raw.terminate())
  return raw
}

const logged = (server, text) => until(`the log says ${text}`, () => server.log.includes(text))

describe('users of a file', { skip }, () => {
  test('passwords as they are and hashed ones let in, with their data', async (t) => {
    const yaml = `userA:\n  password: ${HASHED}\n  serverData: {role: admin}\n  clientData: {theme: dark}\n`
    const file = { type: 'file', options: { users: 'fileLoad(users.yml)', ...MD5 } }
    const hashed = await serverWith(t, [file], { files: { 'users.yml': yaml } })
    const client = clientFor(t, hashed)
    assert.deepEqual(await within('login', client.login({ username: 'userA', password: 'password' })), { theme: 'dark' })
    await logged(hashed, 'AUTH_SUCCESSFUL | userA')
    assert.ok(hashed.log.includes('authentication ready: File Authentication'), hashed.log)
    const clear = await serverWith(t, [users({ ann: { password: 'secret' }, bob: { password: 'ünïcode', clientData: [1] } })])
    await loggedIn(t, clear, {}, { username: 'ann', password: 'secret' })
    assert.deepEqual(await within('login', clientFor(t, clear).login({ username: 'bob', password: 'ünïcode' })), [1])
  })

  test('everything else is refused, and the last attempt closes', async (t) => {
    const server = await serverWith(t, [users({ ann: { password: 'secret' } })])
    const missing = '{"error":"missing authentication parameter: username or/and password"}'
    for (const [data, told] of [
      [{ username: 'ann', password: 'Secret' }, undefined],
      [{ username: 'nobody', password: 'secret' }, undefined],
      [{ username: 'constructor', password: 'secret' }, undefined],
      [{ username: 'ann' }, missing],
      [{ username: 'ann', password: 7 }, missing],
      ['[]', missing]
    ]) {
      const raw = await challenged(t, server)
      assertFields(await login(raw, data), { topic: TOPIC.AUTH, action: AUTH.AUTH_UNSUCCESSFUL, data: told })
    }
    const raw = await challenged(t, server)
    for (let attempt = 1; attempt <= 3; attempt++) {
      assertFields(await login(raw, { username: 'ann', password: 'x' }), { action: AUTH.AUTH_UNSUCCESSFUL })
    }
    assertFields(await raw.take(), { action: AUTH.TOO_MANY_AUTH_ATTEMPTS })
    await within('the connection to end', raw.closed)
    assert.deepEqual(await refused(t, server, { username: 'ann', password: 'x' }), { reason: 'INVALID_AUTHENTICATION_DETAILS' })
  })

  test('a second attempt with the right password is let in', async (t) => {
    const server = await serverWith(t, [users({ ann: { password: 'secret' } })])
    const raw = await challenged(t, server)
    assertFields(await login(raw, { username: 'ann', password: 'x' }), { action: AUTH.AUTH_UNSUCCESSFUL })
    assertFields(await login(raw, { username: 'ann', password: 'secret' }), { action: AUTH.AUTH_SUCCESSFUL })
    raw.event(EVENT.SUBSCRIBE, { names: ['e'], correlationId: '0' })
    assertFields(await raw.take(), { action: EVENT.SUBSCRIBE, isAck: true })
  })

  test('logInvalidAuthData decides whether the log shows what was tried', async (t) => {
    for (const logInvalidAuthData of [false, true]) {
      const server = await serverWith(t, [users({ ann: { password: 'secret' } })], { endpoint: { logInvalidAuthData } })
      const raw = await challenged(t, server)
      await login(raw, { username: 'ann', password: 'guessed' })
      await logged(server, 'AUTH_UNSUCCESSFUL | invalid authentication data')
      assert.equal(server.log.includes('guessed'), logInvalidAuthData)
    }
  })
})

describe('a webhook', { skip }, () => {
  test('says who it is, and is told where the login comes from', async (t) => {
    const hook = await Webhook.start(t, (request, respond) => respond(200, { id: 'ann', clientData: { a: 1 }, serverData: { b: 2 } }))
    const server = await serverWith(t, [webhook(hook, { promoteToHeader: ['token'] })])
    const raw = await challenged(t, server, { headers: { cookie: 'session=1', referer: 'http://page' } })
    assertFields(await login(raw, { token: 'xyz', more: [1] }), { action: AUTH.AUTH_SUCCESSFUL, data: '{"a":1}' })
    const [request] = hook.requests
    assert.equal(request.method, 'POST')
    assert.equal(request.headers.token, 'xyz')
    assert.equal(request.headers['content-type'], 'application/json')
    assert.deepEqual(request.body.authData, { token: 'xyz', more: [1] })
    const { connectionData } = request.body
    assert.equal(connectionData.remoteAddress, '127.0.0.1')
    assert.equal(connectionData.referer, 'http://page')
    assert.equal(connectionData.headers.cookie, 'session=1')
    await logged(server, 'AUTH_SUCCESSFUL | ann')
    assert.ok(server.log.includes(`authentication ready: http webhook to ${hook.url}`))
  })

  test('is only told the headers that are listed', async (t) => {
    const hook = await Webhook.start(t, (request, respond) => respond(200, 'ann'))
    const server = await serverWith(t, [webhook(hook)], { http: { headers: ['X-Mine'] } })
    const raw = await challenged(t, server, { headers: { cookie: 'session=1', 'x-mine': 'yes' } })
    assertFields(await login(raw, {}), { action: AUTH.AUTH_SUCCESSFUL })
    assert.deepEqual(hook.requests[0].body.connectionData.headers, { 'x-mine': 'yes' })
  })

  test('refuses in its own words', async (t) => {
    const hook = await Webhook.start(t, (request, respond) => respond(...request.body.authData.answer))
    const server = await serverWith(t, [webhook(hook)])
    for (const [answer, told] of [
      [[401, 'not you'], '{"error":"not you"}'],
      [[403, { why: 'late' }], '{"why":"late"}'],
      [[403, {}], undefined],
      [[500, ''], BROKEN],
      [[502, 'maintenance'], '{"error":"maintenance"}'],
      [[200, { isValid: false, clientData: 'no' }], '"no"'],
      [[200, {}], undefined],
      [[200, { id: null }], undefined],
      [[200, '{broken', 'application/json'], BROKEN],
      [[200, '<html>\nlogin page'], BROKEN]
    ]) {
      const raw = await challenged(t, server)
      assertFields(await login(raw, { answer }), { action: AUTH.AUTH_UNSUCCESSFUL, data: told })
    }
    assert.deepEqual(await refused(t, server, { answer: [401, 'not you'] }), { reason: { error: 'not you' } })
  })

  test('is tried again as often as configured, after the statuses configured', async (t) => {
    let failures = 0
    const hook = await Webhook.start(t, (request, respond) => {
      failures -= 1
      if (failures >= 0) respond(503, 'busy')
      else respond(200, 'ann')
    })
    const retries = { retryStatusCodes: [503], retryAttempts: 2, retryInterval: 5 }
    const server = await serverWith(t, [webhook(hook, retries)])
    for (const [fail, action, asked] of [[0, AUTH.AUTH_SUCCESSFUL, 1], [2, AUTH.AUTH_SUCCESSFUL, 3], [3, AUTH.AUTH_UNSUCCESSFUL, 3]]) {
      failures = fail
      hook.requests = []
      const raw = await challenged(t, server)
      const data = action === AUTH.AUTH_SUCCESSFUL ? undefined : EXHAUSTED
      assertFields(await login(raw, {}), { action, data })
      assert.equal(hook.requests.length, asked)
    }
    await logged(server, 'AUTH_ERROR | http auth server error: "busy"')
  })

  test('that is down, silent or redirects forever is a refusal', async (t) => {
    const port = await freePort()
    const down = await serverWith(t, [webhook({ url: `http://127.0.0.1:${port}` })])
    assertFields(await login(await challenged(t, down), {}), { data: EXHAUSTED })
    await logged(down, 'AUTH_ERROR | http auth error: ')
    const silent = await Webhook.start(t, () => {})
    const slow = await serverWith(t, [webhook(silent, { requestTimeout: 50, retryAttempts: 1 })])
    assertFields(await login(await challenged(t, slow), {}), { action: AUTH.AUTH_UNSUCCESSFUL })
    assert.equal(silent.requests.length, 2)
    const round = await Webhook.start(t, (request, respond) => respond(307, '', 'text/plain', { location: '/again' }))
    const dizzy = await serverWith(t, [webhook(round)])
    assertFields(await login(await challenged(t, dizzy), {}), { action: AUTH.AUTH_UNSUCCESSFUL })
    assert.equal(round.requests.length, 3)
  })

  test('whose answer has no end, comes in drops or is cut short lets nobody in', async (t) => {
    const head = (response, length = {}) => response.writeHead(200, { 'content-type': 'text/plain', ...length })
    for (const [requestTimeout, answer, why] of [
      [60000, (response) => {
        head(response)
        const more = () => { while (!response.destroyed && response.write('a'.repeat(65536))); }
        response.on('drain', more)
        more()
      }, /http auth error: the answer is longer than \d+ bytes/],
      [300, (response) => {
        head(response)
        const drops = setInterval(() => response.write('a'), 20)
        response.on('close', () => clearInterval(drops))
      }, /http auth error: .*timed out/],
      [60000, (response) => {
        head(response, { 'content-length': 100 })
        response.write('ann', () => response.destroy())
      }, /http auth error: /]
    ]) {
      const hook = await Webhook.start(t, (request, respond, response) => answer(response))
      const server = await serverWith(t, [webhook(hook, { requestTimeout })])
      assertFields(await login(await challenged(t, server), {}), { action: AUTH.AUTH_UNSUCCESSFUL, data: EXHAUSTED })
      await until(`the log says ${why}`, () => why.test(server.log))
      assert.equal(hook.requests.length, 1)
      await until('the request is over', () => hook.open === 0)
    }
  })

  test('may speak TLS with a certificate this machine trusts, and no other', async (t) => {
    const server = await Server.prepare({})
    atEnd(t, () => server.discard())
    const secure = certificate(server.directory)
    const hook = await Webhook.start(t, (request, respond) => respond(200, 'ann'), secure)
    const trusting = await serverWith(t, [webhook(hook)], { environment: { SSL_CERT_FILE: secure.file } })
    assertFields(await login(await challenged(t, trusting), {}), { action: AUTH.AUTH_SUCCESSFUL })
    const strict = await serverWith(t, [webhook(hook)])
    assertFields(await login(await challenged(t, strict), {}), { action: AUTH.AUTH_UNSUCCESSFUL })
    await logged(strict, 'AUTH_ERROR | http auth error: ')
    assert.equal(hook.requests.length, 1)
  })

  test('that is slow delays nobody who does not need it, and is not asked more at a time than configured', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push(respond))
    const methods = [users({ ann: { password: 'secret' } }), webhook(hook, { requestTimeout: 60000, reportInvalidParameters: true })]
    const server = await serverWith(t, methods, { limits: { webhooksMax: 3 } })
    const steady = await loggedIn(t, server, {}, { username: 'ann', password: 'secret' })
    const stuck = await Promise.all(Array.from({ length: 40 }, () => challenged(t, server)))
    for (const raw of stuck) raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    await until('the webhook has as many as it may', () => hook.requests.length === 3)
    for (let round = 0; round < 5; round++) {
      const raw = await challenged(t, server)
      assertFields(await login(raw, { username: 'ann', password: 'secret' }), { action: AUTH.AUTH_SUCCESSFUL })
    }
    const record = steady.record.getRecord('steady')
    await within('a record', record.whenReady())
    await within('a write', record.setWithAck({ a: 1 }))
    assert.equal(hook.requests.length, 3)
    hook.answer = (request, respond) => respond(200, 'late')
    for (const respond of waiting) respond(200, 'late')
    for (const raw of stuck) assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
    assert.ok(hook.openMost <= 3, `${hook.openMost} at a time`)
  })

  test('is asked by one connection for one login at a time, and what follows waits', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push(respond))
    const server = await serverWith(t, [webhook(hook)])
    const raw = await challenged(t, server)
    for (const number of [1, 2]) raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ number }) })
    raw.event(EVENT.SUBSCRIBE, { names: ['e'], correlationId: '0' })
    await until('the first login is asked about', () => waiting.length === 1)
    const other = await challenged(t, server)
    other.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{"number":3}' })
    await until('the login of the other connection is asked about', () => waiting.length === 2)
    assert.deepEqual(hook.requests.map((request) => request.body.authData.number), [1, 3])
    waiting[0](401, 'no')
    assertFields(await raw.take(), { action: AUTH.AUTH_UNSUCCESSFUL })
    await until('the second login is asked about', () => waiting.length === 3)
    waiting[2](200, 'ann')
    assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
    assertFields(await raw.take(), { topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE, isAck: true })
  })

  test('may take longer than a client may be silent, but not longer than it may be without a login', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push(respond))
    const endpoint = { heartbeatInterval: 300, unauthenticatedClientTimeout: 4000 }
    const server = await serverWith(t, [webhook(hook)], { endpoint })
    const [raw, never] = [await challenged(t, server), await challenged(t, server)]
    for (const each of [raw, never]) each.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    await until('both are asked about', () => waiting.length === 2)
    const asked = Date.now()
    await until('several heartbeats have passed', () => Date.now() - asked > 900)
    assert.equal(raw.ended, undefined)
    waiting[0](200, 'ann')
    const winner = await until('one of them is told', () => [raw, never].find((each) => each.received.length > 0))
    assertFields(await winner.take(), { topic: TOPIC.AUTH, action: AUTH.AUTH_SUCCESSFUL })
    const loser = winner === raw ? never : raw
    assertFields(await loser.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.AUTHENTICATION_TIMEOUT })
    await within('it to be closed', loser.closed)
  })
})

describe('users of the storage', { skip }, () => {
  const table = (options = {}) => ({ type: 'storage', options: { table: 'users', hash: 'sha256', iterations: 10, keyLength: 32, ...options } })

  test('register with createUser, and are known from then on', async (t) => {
    const server = await serverWith(t, [table({ createUser: true })])
    const ann = { username: 'ann', password: 'secret' }
    const enter = async () => JSON.parse((await login(await challenged(t, server), ann)).data)
    const first = await enter()
    assert.match(first.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/)
    await logged(server, 'STORAGE_AUTH | REGISTERING_USER | Adding new user ann')
    assert.deepEqual(await enter(), first)
    assertFields(await login(await challenged(t, server), { ...ann, password: 'x' }), { action: AUTH.AUTH_UNSUCCESSFUL, data: undefined })
    await logged(server, `AUTH_SUCCESSFUL | ${first.id}`)
    await server.end('SIGTERM')
    await server.launch()
    const raw = await challenged(t, server)
    assertFields(await login(raw, { username: 'ann', password: 'secret' }), { data: JSON.stringify(first) })
    raw.record(RECORD.READ, { name: 'users/ann' })
    assertFields(await raw.take(), { action: RECORD.MESSAGE_DENIED, name: 'users/ann' })
    await server.end('SIGTERM')
    // The stored user is read by a server that does not use the table for logins.
    const config = JSON.parse(readFileSync(server.config, 'utf8'))
    writeFileSync(server.config, JSON.stringify({ ...config, auth: [{ type: 'none' }] }))
    await server.launch()
    const other = await challenged(t, server)
    await login(other, {})
    other.record(RECORD.READ, { name: 'users/ann' })
    const record = JSON.parse((await other.take()).data)
    assert.equal(record.username, 'ann')
    assert.equal(record.password.length, 44 + 24)
    assert.ok(record.serverData.created <= Date.now())
  })

  test('who is unknown is refused without createUser, and bad parameters are told', async (t) => {
    const server = await serverWith(t, [table()])
    const raw = await challenged(t, server)
    assertFields(await login(raw, { username: 'ann', password: 'secret' }), { action: AUTH.AUTH_UNSUCCESSFUL, data: undefined })
    assertFields(await login(raw, { username: 'ann' }), { data: '{"error":"missing authentication parameters: false undefined"}' })
  })

  test('many who register one name at once are one user', async (t) => {
    const server = await serverWith(t, [table({ createUser: true })])
    const raws = await Promise.all(Array.from({ length: 12 }, () => challenged(t, server)))
    const answers = await Promise.all(raws.map((raw) => login(raw, { username: 'bob', password: 'p' })))
    const ids = new Set(answers.map((answer) => JSON.parse(answer.data).id))
    assert.equal(ids.size, 1)
  })
})

describe('several ways of logging in', { skip }, () => {
  test('are asked in order until one knows the user', async (t) => {
    const hook = await Webhook.start(t, (request, respond) => {
      if (request.body.authData.username === 'web') respond(200, 'webby')
      else respond(401, 'unknown')
    })
    const methods = [users({ ann: { password: 'one' } }), users({ ann: { password: 'two' }, bob: { password: 'x' } }), webhook(hook)]
    const server = await serverWith(t, methods)
    for (const [data, action] of [
      [{ username: 'ann', password: 'one' }, AUTH.AUTH_SUCCESSFUL],
      [{ username: 'ann', password: 'two' }, AUTH.AUTH_SUCCESSFUL],
      [{ username: 'bob', password: 'x' }, AUTH.AUTH_SUCCESSFUL],
      [{ username: 'web' }, AUTH.AUTH_SUCCESSFUL],
      [{ username: 'bob', password: 'y' }, AUTH.AUTH_UNSUCCESSFUL]
    ]) {
      assertFields(await login(await challenged(t, server), data), { action, data: undefined })
    }
    assert.equal(hook.requests.length, 2, 'whoever was known before was not asked about')
    assert.match(server.log, /authentication ready: 0\) File Authentication, 1\) File Authentication, 2\) http webhook to/)
  })

  test('end with open login, if that is listed last', async (t) => {
    const server = await serverWith(t, [users({ ann: { password: 'one' } }), { type: 'none' }])
    await loggedIn(t, server, {}, { username: 'ann', password: 'one' })
    await loggedIn(t, server, {}, { username: 'guest' })
    await logged(server, 'AUTH_SUCCESSFUL | guest')
  })
})

describe('limits', { skip }, () => {
  test('huge login data is closed unread, and one that fits is judged', async (t) => {
    const server = await serverWith(t, [users({ ann: { password: 'secret' } })])
    const large = { username: 'ann', password: 'secret', more: 'x'.repeat(60000) }
    assertFields(await login(await challenged(t, server), large), { action: AUTH.AUTH_SUCCESSFUL })
    const raw = await challenged(t, server)
    assertFields(await login(raw, { ...large, more: 'x'.repeat(70000) }), { action: AUTH.INVALID_MESSAGE_DATA })
    await within('the connection to end', raw.closed)
  })

  test('a flood of logins is bounded, and whoever is in notices nothing', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push(respond))
    const limits = { loginsMax: 20, webhooksMax: 5 }
    const server = await serverWith(t, [webhook(hook, { requestTimeout: 60000 })], { limits, shards: 1 })
    const flood = await Promise.all(Array.from({ length: 50 }, () => challenged(t, server)))
    for (const raw of flood) raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    const busy = await within('those who do not fit to be told', Promise.all(flood.slice(20).map((raw) => raw.take())))
    for (const answer of busy) assertFields(answer, { action: AUTH.AUTH_UNSUCCESSFUL, data: '{"error":"too many logins are waiting, try again"}' })
    await until('the webhook has as many as it may', () => waiting.length === 5)
    hook.answer = (request, respond) => respond(200, 'ann')
    for (const respond of waiting) respond(200, 'ann')
    for (const raw of flood.slice(0, 20)) assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
    assertFields(await login(flood[30], {}), { action: AUTH.AUTH_SUCCESSFUL })
  })

  test('clients that leave while they are judged harm nobody', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push(respond))
    const server = await serverWith(t, [webhook(hook, { requestTimeout: 60000 })])
    const leaving = await Promise.all(Array.from({ length: 20 }, () => challenged(t, server)))
    for (const raw of leaving) raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    await until('all are asked about', () => waiting.length === 20)
    for (const raw of leaving) raw.terminate()
    for (const respond of waiting) respond(200, 'gone')
    hook.answer = (request, respond) => respond(200, 'here')
    for (let round = 0; round < 20; round++) {
      assertFields(await login(await challenged(t, server), {}), { action: AUTH.AUTH_SUCCESSFUL })
    }
  })

  test('a server stops while logins are judged', async (t) => {
    const hook = await Webhook.start(t, () => {})
    const server = await serverWith(t, [webhook(hook, { requestTimeout: 60000 })])
    const raw = await challenged(t, server)
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    await until('it is asked about', () => hook.requests.length === 1)
    assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null })
  })
})

describe('SIGHUP', { skip }, () => {
  const auth = [{ type: 'file', options: { users: 'fileLoad(users.yml)' } }]
  const reload = async (server, text) => {
    const before = server.log.length
    server.child.kill('SIGHUP')
    await until(`the log says ${text}`, () => server.log.slice(before).includes(text))
  }

  test('swaps users, and whoever is in stays in', async (t) => {
    const server = await serverWith(t, auth, { files: { 'users.yml': 'ann: {password: one}\n' } })
    const ann = await loggedIn(t, server, {}, { username: 'ann', password: 'one' })
    write(server, 'users.yml', 'bob: {password: two}\n')
    await reload(server, 'CONFIG_RELOAD | the configuration was read again')
    await loggedIn(t, server, {}, { username: 'bob', password: 'two' })
    await refused(t, server, { username: 'ann', password: 'one' })
    const record = ann.record.getRecord('r')
    await within('a record', record.whenReady())
  })

  test('refuses a file that is wrong, whole, by line and column', async (t) => {
    const server = await serverWith(t, auth, { files: { 'users.yml': 'ann: {password: one}\n' } })
    for (const [text, said] of [
      ['bob: {password: two}\ncid:\n  pasword: x\n', 'users.yml:3:3: cid.pasword: unknown key'],
      ['bob: {password: [}\n', 'users.yml:1:'],
      ['', 'no users present in user file']
    ]) {
      write(server, 'users.yml', text)
      await reload(server, said)
      await logged(server, 'the configuration was refused, nothing changes')
      await loggedIn(t, server, {}, { username: 'ann', password: 'one' })
      await refused(t, server, { username: 'bob', password: 'two' })
    }
  })

  test('changes the way of logging in, and says what needs a restart', async (t) => {
    const server = await serverWith(t, auth, { files: { 'users.yml': 'ann: {password: one}\n' } })
    const config = JSON.parse((await import('node:fs')).readFileSync(server.config, 'utf8'))
    write(server, 'config.yml', JSON.stringify({ ...config, auth: [{ type: 'none' }], limits: { nameBytesMax: 9 } }))
    await reload(server, 'they take effect with the next start')
    await loggedIn(t, server, {}, { username: 'whoever' })
    write(server, 'config.yml', JSON.stringify(config))
    await reload(server, 'the configuration was read again')
    await refused(t, server, { username: 'whoever' })
  })

  test('in the middle of a storm of logins judges each by the old users or by the new', async (t) => {
    const server = await serverWith(t, auth, { files: { 'users.yml': 'ann: {password: one, clientData: 1}\n' } })
    const raws = await Promise.all(Array.from({ length: 60 }, () => challenged(t, server)))
    const answers = raws.map((raw) => login(raw, { username: 'ann', password: 'one' }))
    write(server, 'users.yml', 'ann: {password: one, clientData: 2}\n')
    server.child.kill('SIGHUP')
    const told = (await within('all to be told', Promise.all(answers))).map((answer) => answer.data)
    assert.ok(told.every((data) => data === '1' || data === '2'), told.join())
    await logged(server, 'the configuration was read again')
    assertFields(await login(await challenged(t, server), { username: 'ann', password: 'one' }), { data: '2' })
  })
})

describe('the command line', { skip }, () => {
  const run = (directory, ...words) => {
    const { status, stdout, stderr } = spawnSync(BINARY, words, { cwd: directory, encoding: 'utf8' })
    return { status, stdout, stderr }
  }

  test('hash prints what file authentication takes, whatever the configuration says of logging in', async (t) => {
    const file = { type: 'file', options: { users: { ann: { password: HASHED } }, ...MD5 } }
    const others = [[{ type: 'none' }], [users({ a: { password: 'b' } })]]
    for (const auth of [[file], ...others]) {
      const prepared = await Server.prepare({ extra: { auth } })
      atEnd(t, () => prepared.discard())
      const flags = auth[0] === file ? [] : ['--hash', 'md5', '--iterations', '100', '--key-length', '32']
      const { status, stdout, stderr } = run(prepared.directory, 'hash', '-c', prepared.config, ...flags, 'open sesame')
      assert.equal(status, 0, stderr)
      const [, hash] = /^Password hash: (\S+)\n$/.exec(stdout)
      const server = await serverFor(t, { extra: { auth: [{ ...file, options: { ...file.options, users: { ann: { password: hash } } } }] } })
      await loggedIn(t, server, {}, { username: 'ann', password: 'open sesame' })
      // Nothing comes from the standard input.
      const said = 'Error: Must provide password to hash\n'
      assert.deepEqual(run(prepared.directory, 'hash', '-c', prepared.config), { status: 1, stdout: '', stderr: said })
    }
  })

  test('info says what is installed', async (t) => {
    const prepared = await Server.prepare({})
    atEnd(t, () => prepared.discard())
    write(prepared, 'lib/one/package.json', '{"name":"one","version":"1.2.3"}')
    const { status, stdout } = run(prepared.directory, 'info', '-c', prepared.config, '-l', 'lib')
    assert.equal(status, 0)
    const info = JSON.parse(stdout)
    assert.deepEqual(info.libs, ['one:1.2.3'])
    assert.equal(info.platform, 'linux')
    assert.match(info.deepstreamVersion, /^\d+\.\d+\.\d+/)
    const failed = run(prepared.directory, 'info', '-c', 'nowhere.yml')
    assert.equal(failed.status, 1)
    assert.ok(failed.stderr.includes('Please provide a libDir or a configFile'), failed.stderr)
  })

  test('start refuses impossible users before it serves anybody, and --disable-auth lets everybody in', async (t) => {
    const server = await Server.prepare({ extra: { auth: [{ type: 'file', options: { users: 'fileLoad(users.yml)', ...MD5 } }] } })
    atEnd(t, () => server.discard())
    write(server, 'users.yml', 'ann:\n  password: short\n')
    const { status, stderr } = run(server.directory, 'start', '-c', server.config)
    assert.equal(status, 78)
    assert.match(stderr, /users\.yml:2:3: ann\.password: no password has this hash/)
    server.arguments = ['--disable-auth']
    await server.launch()
    await loggedIn(t, server, {}, { username: 'whoever' })
  })
})
