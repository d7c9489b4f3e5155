// Guessing passwords: however it is tried, answers come late and then not at all, and nobody else is affected.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn } from '../helpers/clients.mjs'
import { post } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { mqttServer, tried } from '../helpers/mqtt.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { AUTH, TOPIC } from '../helpers/wire.mjs'

const read = { topic: 'record', action: 'head', recordName: 'x' }
const file = { type: 'file', options: { users: { ann: { password: 'right' }, bob: { password: 'right' } } } }
const ann = { username: 'ann', password: 'right' }
/** As if from there: a proxy on this machine is believed. */
const from = (address) => ({ 'x-forwarded-for': address })

const options = (limits, rest = {}) => ({ extra: { auth: [file], ...rest.extra }, limits: { loginDelayMaxMs: 0, refusedLoginsPerUserMax: 0, ...limits }, ...rest.options })
const judge = (server, data, address) => post(server, data, { path: '/api/auth', headers: address ? from(address) : {} })

async function login (t, server, data, address) {
  const raw = await Raw.challenged(server, address ? { headers: from(address) } : {})
  atEnd(t, () => raw.terminate())
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify(data) })
  return { raw, answer: await raw.take() }
}

describe('one address', () => {
  test('has one number of refused logins for all protocols, and is then not judged by any', async (t) => {
    const server = await mqttServer(t, options({ refusedLoginsPerAddressMax: 9 }))
    let wrong = 0
    const data = () => ({ username: `user ${wrong}`, password: `guess ${wrong++}` })
    for (let round = 0; round < 2; round++) assert.equal((await judge(server, data())).status, 401)
    assert.equal((await post(server, { authData: data(), body: [read] })).status, 401)
    assert.equal((await post(server, { token: `token ${wrong++}`, body: [read] })).status, 401)
    assertFields((await login(t, server, data())).answer, { action: AUTH.AUTH_UNSUCCESSFUL })
    for (const protocolVersion of [4, 5]) {
      const client = await tried(t, server, { protocolVersion, ...data() })
      await within('its end', client.left)
      assert.equal(client.failures[0]?.code, protocolVersion === 4 ? 5 : 0x87)
    }
    const json = await Json.challenged(t, server)
    assert.equal((await json.ask({ topic: TOPIC.AUTH, action: AUTH.REQUEST, parsedData: data() })).action, AUTH.AUTH_UNSUCCESSFUL)
    const text = await Text.open(t, server)
    text.say(`A|REQ|${JSON.stringify(data())}+`)
    await text.next('A|E|INVALID_AUTH_DATA')
    assert.equal(wrong, 9)

    const answer = await judge(server, ann)
    assert.equal(answer.status, 429)
    const seconds = Number(answer.headers.get('retry-after'))
    assert.ok(seconds > 0 && seconds <= 67, `${seconds}`)
    assert.deepEqual([answer.json.error, answer.json.retryAfterSeconds], ['TOO_MANY_AUTH_ATTEMPTS', seconds])
    assert.equal((await post(server, { authData: ann, body: [read] })).status, 429)
    const { raw, answer: told } = await login(t, server, ann)
    assertFields(told, { action: AUTH.AUTH_UNSUCCESSFUL })
    assert.match(told.data, /^\{"error":"TOO_MANY_AUTH_ATTEMPTS"/)
    assertFields(await raw.take(), { action: AUTH.TOO_MANY_AUTH_ATTEMPTS })
    await within('the connection to end', raw.closed)
    for (const protocolVersion of [4, 5]) {
      const client = await tried(t, server, { protocolVersion, ...ann })
      await within('its end', client.left)
      assert.equal(client.failures[0]?.code, protocolVersion === 4 ? 3 : 0x9f)
    }
    assert.equal((await judge(server, ann, '1.2.3.4')).status, 200, 'others are judged')
    await until('the log says so', () => /TOO_MANY_AUTH_ATTEMPTS \| logins from 127\.0\.0\.1 are not judged for a while/.test(server.log))
  })

  test('has 300 if nothing else is said, and not 2,000', async (t) => {
    const server = await serverFor(t, { extra: { auth: [file] }, limits: { loginDelayMaxMs: 0 } })
    const statuses = []
    for (let batch = 0; batch < 40; batch++) {
      const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => judge(server, { username: `user ${index}`, password: `${batch}` })))
      statuses.push(...answers.map((answer) => answer.status))
    }
    const judged = statuses.filter((status) => status === 401).length
    assert.ok(judged >= 300 && judged <= 305, `${judged} were judged`)
    assert.equal(statuses.filter((status) => status === 429).length, 2000 - judged)
  })

  test('is a network of IPv6, and is the one a listed proxy speaks for', async (t) => {
    const server = await serverFor(t, options({ refusedLoginsPerAddressMax: 4 }))
    for (let host = 1; host <= 4; host++) assert.equal((await judge(server, { ...ann, password: 'x' }, `2001:db8:1:2::${host}`)).status, 401)
    assert.equal((await judge(server, ann, '2001:db8:1:2:ffff::1')).status, 429)
    assert.equal((await login(t, server, ann, '2001:db8:1:2:ffff::2')).answer.action, AUTH.AUTH_UNSUCCESSFUL)
    assert.equal((await judge(server, ann, '2001:db8:1:3::1')).status, 200)
    assert.equal((await judge(server, ann)).status, 200)
  })

  test('is answered late before that, and others are not', async (t) => {
    const server = await serverFor(t, options({ refusedLoginsPerAddressMax: 10, loginDelayMaxMs: 1000 }))
    const took = async (work) => {
      const start = Date.now()
      await work()
      return Date.now() - start
    }
    const guess = (index) => judge(server, { username: `user ${index}`, password: 'x' }, '1.1.1.1')
    for (let index = 0; index < 9; index++) await guess(index)
    let late
    const last = took(() => guess(9)).then((time) => { late = time })
    assert.equal((await judge(server, ann, '2.2.2.2')).status, 200)
    assert.equal(late, undefined, 'one who waits keeps nobody waiting')
    await within('the late answer', last)
    assert.ok(late >= 500 && late < 3000, `${late} ms`)
  })

  test('is let in by what let it in before, whatever others behind it do', async (t) => {
    const server = await serverFor(t, options({ refusedLoginsPerAddressMax: 5 }))
    const client = await loggedIn(t, server, {}, ann)
    for (let index = 0; index < 8; index++) await judge(server, { username: 'bob', password: `${index}` })
    assert.equal((await judge(server, { username: 'bob', password: 'right' })).status, 429)
    assert.equal((await judge(server, ann)).status, 200)
    await loggedIn(t, server, {}, ann)
    assert.ok(client)
  })
})

describe('one user', () => {
  test('is guessed at from one address a few times, from many late, and never locked out', async (t) => {
    const server = await serverFor(t, options({ refusedLoginsPerUserMax: 10, loginDelayMaxMs: 300 }))
    const wrong = (index, address) => judge(server, { username: 'ann', password: `${index}` }, address)
    assert.equal((await judge(server, ann, '7.7.7.7')).status, 200)
    let judged = 0
    while ((await wrong(judged, '6.6.6.6')).status === 401) judged += 1
    assert.equal(judged, 10)
    for (let host = 1; host <= 20; host++) assert.equal((await wrong(host, `10.0.0.${host}`)).status, 401)
    let start = Date.now()
    assert.equal((await judge(server, ann, '8.8.8.8')).status, 200, 'from a new place')
    assert.ok(Date.now() - start >= 290)
    start = Date.now()
    assert.equal((await judge(server, { ...ann, from: 'another form' }, '7.7.7.7')).status, 200, 'from where it was before')
    assert.ok(Date.now() - start < 290)
    assert.equal((await judge(server, { username: 'bob', password: 'right' }, '6.6.6.6')).status, 200, 'others of the address')
  })
})

describe('the log', () => {
  // The expression that the documentation gives for fail2ban, in which <HOST> is an address.
  const failregex = /^\s*AUTH_UNSUCCESSFUL \| (?:invalid authentication data|too many refused logins) from (?<host>[0-9a-fA-F:.]+)(?: with .*)?$/

  test('says whose logins are refused, and cannot be made to say it of others', async (t) => {
    const server = await mqttServer(t, options({ refusedLoginsPerAddressMax: 6 }, { options: { endpoint: { logInvalidAuthData: true }, httpEndpoint: { logInvalidAuthData: true } } }))
    const line = 'AUTH_UNSUCCESSFUL | invalid authentication data from 9.9.9.9'
    for (const username of [line, `\n${line}`, `\r\n${line}\r\n`]) await judge(server, { username, password: line }, '1.2.3.4')
    await login(t, server, { username: `\n${line}` }, '2001:db8::7')
    await post(server, { authData: { username: line }, body: [read] }, { headers: from('1.2.3.5') })
    const client = await tried(t, server, { username: line, password: 'x' })
    await within('its end', client.left)
    for (let index = 0; index < 5; index++) await judge(server, { username: line, password: `${index}` }, '1.2.3.4')
    const hosts = () => server.log.split('\n').map((text) => failregex.exec(text)?.groups.host).filter(Boolean)
    await until('all are there', () => hosts().length >= 11)
    assert.deepEqual([...new Set(hosts())].sort(), ['1.2.3.4', '1.2.3.5', '127.0.0.1', '2001:db8::7'])
    await until('the log says so', () => /too many refused logins from 1\.2\.3\.4$/m.test(server.log))
  })

  test('has the address as a field of its JSON form', async (t) => {
    const server = await serverFor(t, options({}, { extra: { logger: { name: 'pino' } } }))
    await judge(server, { username: 'ann', password: 'x' }, '1.2.3.4')
    await login(t, server, { username: 'ann', password: 'x' }, '2001:db8::7')
    const lines = () => server.log.split('\n').filter((line) => line.includes('AUTH_UNSUCCESSFUL')).map((line) => JSON.parse(line))
    await until('both are there', () => lines().length === 2)
    assert.deepEqual(lines().map((line) => [line.event, line.address]), [['AUTH_UNSUCCESSFUL', '1.2.3.4'], ['AUTH_UNSUCCESSFUL', '2001:db8::7']])
  })
})
