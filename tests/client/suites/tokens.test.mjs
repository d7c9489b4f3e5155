// Signed tokens: who they let in, for how long, and keys that change.

import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { clientFor, isLost, isOpen } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { Webhook } from '../helpers/webhook.mjs'
import { AUTH, CONNECTION, EVENT, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE
const SECRET = 'a secret that only tests know'
const WARNING = 'deepstream/session-expires'

const base64 = (value) => Buffer.from(value).toString('base64url')

/** A token; `exp` in seconds from now. */
function token (claims, { exp = 3600, header = {}, key = SECRET } = {}) {
  const alg = { rsa: 'RS256', ec: 'ES256', ed25519: 'EdDSA' }[key.asymmetricKeyType] ?? 'HS256'
  const parts = [{ alg, typ: 'JWT', ...header }, { exp: Math.floor(Date.now() / 1000) + exp, ...claims }]
  const signed = parts.map((part) => base64(JSON.stringify(part))).join('.')
  if (alg === 'HS256') return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
  const hash = alg === 'EdDSA' ? null : 'sha256'
  return `${signed}.${sign(hash, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

function serverOf (t, options, rest = {}) {
  return serverFor(t, { extra: { auth: [{ type: 'jwt', options }] }, ...rest })
}

async function challenged (t, server) {
  const raw = await Raw.challenged(server)
  atEnd(t, () => raw.terminate())
  return raw
}

async function login (raw, data) {
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify(data) })
  return raw.take()
}

const logged = (server, text) => until(`the log says ${text}`, () => server.log.includes(text))

describe('tokens', { skip }, () => {
  test('of every kind let in whom they name', async (t) => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pairs = [generateKeyPairSync('rsa', { modulusLength: 2048 }), ec, generateKeyPairSync('ed25519')]
    for (const { privateKey, publicKey } of pairs) {
      const server = await serverOf(t, { publicKey: publicKey.export({ type: 'spki', format: 'pem' }) })
      const raw = await challenged(t, server)
      const good = token({ sub: 'ann', clientData: { a: 1 } }, { key: privateKey })
      assertFields(await login(raw, { token: good }), { action: AUTH.AUTH_SUCCESSFUL, data: '{"a":1}' })
      await logged(server, 'AUTH_SUCCESSFUL | ann')
    }
    const server = await serverOf(t, { secret: SECRET })
    const client = clientFor(t, server)
    assert.deepEqual(await within('login', client.login({ token: token({ sub: 'bob', clientData: { b: 2 } }) })), { b: 2 })
    await logged(server, 'AUTH_SUCCESSFUL | bob')
  })

  test('that are expired, forged or missing do not', async (t) => {
    const server = await serverOf(t, { secret: SECRET })
    for (const [data, told] of [
      [{ token: token({ sub: 'ann' }, { exp: -60 }) }, '{"error":"token expired"}'],
      [{ token: token({ sub: 'ann' }, { key: 'another secret' }) }, '{"error":"invalid token"}'],
      [{ token: token({}) }, '{"error":"invalid token"}'],
      [{ token: 7 }, '{"error":"missing authentication parameter: token"}'],
      [{}, '{"error":"missing authentication parameter: token"}']
    ]) {
      assertFields(await login(await challenged(t, server), data), { action: AUTH.AUTH_UNSUCCESSFUL, data: told })
    }
  })
})

describe('keys of a file', { skip }, () => {
  test('are read again at SIGHUP, and sessions of the old ones last', async (t) => {
    const server = await Server.prepare({ extra: { auth: [{ type: 'jwt', options: { jwks: 'fileLoad(keys.json)' } }] } })
    atEnd(t, () => server.discard())
    const write = (secret) => {
      const keys = [{ kty: 'oct', k: base64(secret), kid: 'one' }]
      writeFileSync(path.join(server.directory, 'keys.json'), JSON.stringify({ keys }))
    }
    write('first secret')
    await server.launch()
    const [old, fresh] = ['first secret', 'second secret'].map((key) => token({ sub: 'ann' }, { key, header: { kid: 'one' } }))
    const stays = await challenged(t, server)
    assertFields(await login(stays, { token: old }), { action: AUTH.AUTH_SUCCESSFUL })
    assertFields(await login(await challenged(t, server), { token: fresh }), { action: AUTH.AUTH_UNSUCCESSFUL })
    write('second secret')
    server.child.kill('SIGHUP')
    await logged(server, 'the configuration was read again')
    assertFields(await login(await challenged(t, server), { token: fresh }), { action: AUTH.AUTH_SUCCESSFUL })
    assertFields(await login(await challenged(t, server), { token: old }), { action: AUTH.AUTH_UNSUCCESSFUL })
    stays.send(TOPIC.CONNECTION, { action: CONNECTION.PING })
    assertFields(await stays.take(), { action: CONNECTION.PONG })
    writeFileSync(path.join(server.directory, 'keys.json'), '{"keys": []}')
    server.child.kill('SIGHUP')
    await logged(server, 'the key set has no key that can verify a token')
    assertFields(await login(await challenged(t, server), { token: fresh }), { action: AUTH.AUTH_SUCCESSFUL })
  })
})

describe('the end of a token', { skip }, () => {
  const short = { secret: SECRET, clockTolerance: 0, expiryWarning: 60000 }

  test('is told before, and closes the session with a reason', async (t) => {
    const server = await serverOf(t, short)
    const raw = await challenged(t, server)
    let reason
    raw.socket.on('close', (code, text) => { reason = `${code} ${text}` })
    assertFields(await login(raw, { token: token({ sub: 'ann' }, { exp: 2 }) }), { action: AUTH.AUTH_SUCCESSFUL })
    const warning = await raw.take()
    assertFields(warning, { topic: TOPIC.EVENT, action: EVENT.EMIT, name: WARNING })
    assert.ok(JSON.parse(warning.data).expiresInMs <= 2000, warning.data)
    await within('the session to end', raw.closed)
    assert.equal(reason, '4401 session expired')
    await logged(server, 'SESSION_EXPIRED | the login has expired; address 127.0.0.1, user ann, ')
  })

  test('is moved by a fresh token on the open session', async (t) => {
    const server = await serverOf(t, short)
    const raw = await challenged(t, server)
    await login(raw, { token: token({ sub: 'ann', clientData: 1 }, { exp: 2 }) })
    const first = Date.now()
    await raw.next({ topic: TOPIC.EVENT, name: WARNING })
    raw.event(EVENT.SUBSCRIBE, { names: ['e'], correlationId: '0' })
    await raw.next({ action: EVENT.SUBSCRIBE })
    assertFields(await login(raw, { token: token({ sub: 'ann', clientData: 2 }) }), { topic: TOPIC.AUTH, action: AUTH.AUTH_SUCCESSFUL, data: '2' })
    await until('the first end has passed', () => Date.now() - first > 2500)
    const other = await challenged(t, server)
    await login(other, { token: token({ sub: 'bob' }) })
    other.event(EVENT.EMIT, { name: 'e', data: '"still here"' })
    assertFields(await raw.next({ topic: TOPIC.EVENT }), { name: 'e', data: '"still here"' })
  })

  test('is not moved by the token of somebody else, or a bad one', async (t) => {
    const server = await serverOf(t, short)
    const raw = await challenged(t, server)
    await login(raw, { token: token({ sub: 'ann' }, { exp: 2 }) })
    await raw.next({ name: WARNING })
    for (const fresh of [token({ sub: 'bob' }), token({ sub: 'ann' }, { key: 'another secret' })]) {
      assertFields(await login(raw, { token: fresh }), { topic: TOPIC.AUTH, action: AUTH.AUTH_UNSUCCESSFUL })
    }
    raw.send(TOPIC.CONNECTION, { action: CONNECTION.PING })
    assertFields(await raw.take(), { action: CONNECTION.PONG })
    await within('the session to end', raw.closed)
  })

  test('is survived by the official client that is given a fresh token in time', async (t) => {
    const server = await serverOf(t, short)
    const client = clientFor(t, server)
    const warned = new Promise((resolve) => client.event.subscribe(WARNING, resolve))
    await within('login', client.login({ token: token({ sub: 'ann' }, { exp: 2 }) }))
    const heard = []
    client.event.subscribe('news', (data) => heard.push(data))
    assert.ok((await within('the warning', warned)).expiresInMs <= 2000)
    const again = client.login({ token: token({ sub: 'ann' }) })
    await isLost(client)
    await within('the login with the fresh token', again)
    await isOpen(client)
    const other = await challenged(t, server)
    await login(other, { token: token({ sub: 'bob' }) })
    await until('its subscription is back', () => {
      other.event(EVENT.EMIT, { name: 'news', data: '1' })
      return heard.length > 0
    }, { every: 20 })
  })

  test('tells the official client that has none, which may log in again', async (t) => {
    const server = await serverOf(t, short)
    const client = clientFor(t, server)
    const failed = new Promise((resolve) => client.on('reauthenticationFailure', resolve))
    await within('login', client.login({ token: token({ sub: 'ann' }, { exp: 1 }) }))
    assert.deepEqual(await within('the failure', failed), { reason: { error: 'token expired' } })
    await within('login', client.login({ token: token({ sub: 'ann' }) }))
    await isOpen(client)
  })
})

describe('fetched keys', { skip }, () => {
  const pair = (kid) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' } }
  }
  const tokenOf = ({ kid, privateKey }) => token({ sub: 'ann' }, { key: privateKey, header: { kid } })

  test('are fetched once for many logins, and again for a new key', async (t) => {
    const [old, fresh, stranger] = ['old', 'fresh', 'stranger'].map(pair)
    let keys = [old.jwk]
    const hook = await Webhook.start(t, (request, respond) => respond(200, { keys }))
    const server = await serverOf(t, { jwksUrl: hook.url })
    const raws = await Promise.all(Array.from({ length: 10 }, () => challenged(t, server)))
    const answers = await Promise.all(raws.map((raw) => login(raw, { token: tokenOf(old) })))
    for (const answer of answers) assertFields(answer, { action: AUTH.AUTH_SUCCESSFUL })
    assert.equal(hook.requests.length, 1)
    keys = [old.jwk, fresh.jwk]
    // Keys are fetched at most every five seconds: until then the new one is not known.
    await until('the fresh key is known', async () => {
      const raw = await challenged(t, server)
      return (await login(raw, { token: tokenOf(fresh) })).action === AUTH.AUTH_SUCCESSFUL
    }, { deadline: 15000, every: 200 })
    const asked = hook.requests.length
    assert.ok(asked <= 3, `asked ${asked} times`)
    for (let attempt = 0; attempt < 5; attempt++) {
      assertFields(await login(await challenged(t, server), { token: tokenOf(stranger) }), { action: AUTH.AUTH_UNSUCCESSFUL })
    }
    assert.ok(hook.requests.length <= asked + 1, 'ids out of the air are not asked about each time')
  })

  test('stay in use while their server is down, and its absence at the start refuses and does not hang', async (t) => {
    const known = pair('known')
    const hook = await Webhook.start(t, (request, respond) => respond(200, { keys: [known.jwk] }))
    const server = await serverOf(t, { jwksUrl: hook.url, jwksRefreshInterval: 1000 })
    assertFields(await login(await challenged(t, server), { token: tokenOf(known) }), { action: AUTH.AUTH_SUCCESSFUL })
    await hook.stop()
    const stopped = Date.now()
    await until('the keys are stale and the cool-down is over', () => Date.now() - stopped > 5200)
    assertFields(await login(await challenged(t, server), { token: tokenOf(known) }), { action: AUTH.AUTH_SUCCESSFUL })
    await logged(server, 'keys cannot be fetched from')
    assertFields(await login(await challenged(t, server), { token: tokenOf(known) }), { action: AUTH.AUTH_SUCCESSFUL })
    const before = server.log.length
    server.child.kill('SIGHUP')
    await until('the configuration was read again', () => server.log.slice(before).includes('CONFIG_RELOAD'))
    assertFields(await login(await challenged(t, server), { token: tokenOf(known) }), { action: AUTH.AUTH_SUCCESSFUL })
    const unjudged = JSON.stringify({ error: 'KEYS_UNAVAILABLE', message: 'nobody could judge this login, which says nothing about its data: try again later' })
    const without = await serverOf(t, { jwksUrl: hook.url })
    assertFields(await login(await challenged(t, without), { token: tokenOf(known) }), { action: AUTH.AUTH_UNSUCCESSFUL, data: unjudged })
  })
})
