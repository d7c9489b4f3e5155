// Who is online: asked, watched, and seen from every core, through the official client and on the wire.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { calls, isLost, isOpen, loggedIn, user } from '../helpers/clients.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { unique, until, within } from '../helpers/until.mjs'
import { PARSER, PRESENCE, TOPIC } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const ask = (client, ...users) => within('who is online', client.presence.getAll(...users))

/** Users that come and go until the subscription is seen to work; their own comings and goings are not kept. */
async function watching (t, client, subscribe, from = server, username = unique('probe')) {
  const seen = []
  subscribe((name, online) => seen.push([name, online]))
  await until('the subscription works', async () => {
    if (seen.length > 0) return true
    const probe = await Raw.login(t, from, { username })
    await probe.close()
    return false
  })
  await until('the probes are gone', async () => !(await ask(client, [username]))[username])
  // Every probe that logged in is gone, and messages about it come before the answer to a later request.
  await ask(client, [username])
  seen.length = 0
  return seen
}

/** Watchers of everybody whose lists are empty: the probes of the later ones are seen by the earlier ones. */
async function watchingEverybody (t, server, count) {
  const watchers = await Promise.all(Array.from({ length: count }, (_, index) => user(t, server, `watcher ${index}`)))
  const seen = []
  for (const watcher of watchers) seen.push(await watching(t, watcher, (callback) => watcher.presence.subscribe(callback), server))
  // Every core answers this after what it had to say before.
  await Promise.all(watchers.map((watcher) => ask(watcher)))
  for (const list of seen) list.length = 0
  return { watchers, seen }
}

async function untilSeen (seen, expected) {
  await until(`${JSON.stringify(expected)} is seen`, () => seen.length >= expected.length)
  assert.deepEqual(seen, expected)
}

describe('asking', () => {
  test('everybody but the asker, wherever they are connected', async (t) => {
    const server = await serverFor(t)
    const asker = await user(t, server, 'asker')
    assert.deepEqual(await ask(asker), [])
    const names = Array.from({ length: 24 }, (_, index) => `user ${index}`)
    const users = await Promise.all(names.map((name) => user(t, server, name)))
    assert.deepEqual((await ask(asker)).sort(), names.toSorted())
    assert.deepEqual((await ask(users[3])).sort(), ['asker', ...names.filter((name) => name !== 'user 3')].sort())
    for (const one of users) one.close()
    await until('all are gone', async () => (await ask(asker)).length === 0)
  })

  test('some users by name, oneself among them', async (t) => {
    const [ann, bob] = [unique('ann'), unique('bob')]
    const client = await user(t, server, ann)
    assert.deepEqual(await ask(client, [ann, bob]), { [ann]: true, [bob]: false })
    const other = await user(t, server, bob)
    assert.deepEqual(await ask(client, [bob]), { [bob]: true })
    other.close()
    await until('bob is gone', async () => !(await ask(client, [bob]))[bob])
    assert.deepEqual(await ask(client, []), {})
  })

  test('names that need escaping in JSON', async (t) => {
    const client = await loggedIn(t, server)
    const names = ['a "quoted" \\ name', 'line\nbreak', 'ünïcödé 🚀', '%_EVERYONE_%', '__proto__x']
    await Promise.all(names.slice(0, 3).map((name) => user(t, server, name)))
    const online = await ask(client, names)
    assert.deepEqual(online, Object.fromEntries(names.map((name, index) => [name, index < 3])))
  })

  test('with a callback', async (t) => {
    const ann = unique('ann')
    const client = await user(t, server, ann)
    const told = calls()
    client.presence.getAll([ann], told)
    await until('it is called', () => told.seen.length === 1)
    assert.deepEqual(told.seen, [[null, { [ann]: true }]])
    const all = calls()
    client.presence.getAll(all)
    await until('it is called', () => all.seen.length === 1)
    assert.equal(all.seen[0][0], null)
    assert.ok(Array.isArray(all.seen[0][1]) && !all.seen[0][1].includes(ann))
  })

  test('many questions at once are answered each', async (t) => {
    const client = await loggedIn(t, server)
    const names = Array.from({ length: 40 }, () => unique('user'))
    await Promise.all(names.map((name) => Raw.login(t, server, { username: name })))
    const answers = await Promise.all(names.map((name) => ask(client, [name, unique('nobody')])))
    answers.forEach((answer, index) => assert.equal(answer[names[index]], true))
  })
})

describe('who is who', () => {
  test('several connections of one user count as one, until the last is gone', async (t) => {
    const server = await serverFor(t)
    const ann = 'ann'
    const [watcher, single] = [await user(t, server, 'watcher'), await user(t, server, 'single')]
    const everybody = await watching(t, watcher, (callback) => watcher.presence.subscribe(callback), server)
    const hers = await watching(t, single, (callback) => single.presence.subscribe(ann, callback), server, ann)
    await ask(watcher)
    everybody.length = 0
    const connections = []
    for (let count = 0; count < 8; count++) connections.push(await user(t, server, ann))
    assert.deepEqual(await ask(watcher, [ann]), { ann: true })
    assert.deepEqual((await ask(watcher)).filter((name) => name === ann), [ann])
    assert.deepEqual((await ask(connections[0])).sort(), ['single', 'watcher'])
    for (const connection of connections.slice(0, 7)) {
      connection.close()
      await until('it is closed', () => connection.getConnectionState() === 'CLOSED')
    }
    assert.deepEqual(await ask(watcher, [ann]), { ann: true })
    connections[7].close()
    for (const seen of [everybody, hers]) await untilSeen(seen, [[ann, true], [ann, false]])
    assert.deepEqual(await ask(watcher, [ann]), { ann: false })
  })

  test('those who log in without a name are one user `open`', async (t) => {
    const server = await serverFor(t)
    const [asker, one, two] = [await user(t, server, 'asker'), await loggedIn(t, server), await loggedIn(t, server)]
    assert.deepEqual(await ask(asker), ['open'])
    assert.deepEqual(await ask(one), ['asker'])
    assert.deepEqual(await ask(one, ['open']), { open: true })
    one.close()
    two.close()
    await until('both are gone', async () => (await ask(asker)).length === 0)
  })

  test('the user OPEN is never seen', async (t) => {
    const server = await serverFor(t)
    const watcher = await user(t, server, 'watcher')
    const seen = await watching(t, watcher, (callback) => {
      watcher.presence.subscribe(callback)
      watcher.presence.subscribe('OPEN', callback)
    }, server)
    const hidden = await user(t, server, 'OPEN')
    assert.deepEqual(await ask(watcher), [])
    assert.deepEqual(await ask(watcher, ['OPEN']), { OPEN: false })
    assert.deepEqual(await ask(hidden), ['watcher'])
    hidden.close()
    const other = await user(t, server, 'other')
    await untilSeen(seen, [['other', true]])
    other.close()
    await untilSeen(seen, [['other', true], ['other', false]])
  })

  test('a connection that never logs in, or is refused, is nobody', async (t) => {
    const server = await serverFor(t)
    const asker = await user(t, server, 'asker')
    const stranger = await Raw.challenged(server)
    assert.deepEqual(await ask(asker), [])
    stranger.terminate()
    assert.deepEqual(await ask(asker), [])
  })
})

describe('watching', () => {
  test('everybody: told of each once, on all cores, in order', async (t) => {
    const server = await serverFor(t)
    const { seen } = await watchingEverybody(t, server, 8)
    const expected = []
    for (let round = 0; round < 6; round++) {
      const name = `user ${round}`
      const one = await user(t, server, name)
      expected.push([name, true])
      for (const list of seen) await untilSeen(list, expected)
      one.close()
      expected.push([name, false])
      for (const list of seen) await untilSeen(list, expected)
    }
  })

  test('one user: told of that one only', async (t) => {
    const [ann, bob] = [unique('ann'), unique('bob')]
    const watcher = await loggedIn(t, server)
    const seen = await watching(t, watcher, (callback) => watcher.presence.subscribe(ann, callback), server, ann)
    const [his, hers] = [await user(t, server, bob), await user(t, server, ann)]
    await untilSeen(seen, [[ann, true]])
    his.close()
    hers.close()
    await untilSeen(seen, [[ann, true], [ann, false]])
  })

  test('a user that is online already is told of when it leaves', async (t) => {
    const server = await serverFor(t)
    const [ann, watcher] = [await user(t, server, 'ann'), await user(t, server, 'watcher')]
    const seen = calls()
    watcher.presence.subscribe('ann', seen)
    const probe = await watching(t, watcher, (callback) => watcher.presence.subscribe('probe', callback), server, 'probe')
    ann.close()
    await until('ann has left', () => seen.seen.length > 0)
    assert.deepEqual(seen.seen, [['ann', false]])
    assert.deepEqual(probe, [])
  })

  test('after unsubscribe nothing is told any more', async (t) => {
    const server = await serverFor(t)
    const watcher = await user(t, server, 'watcher')
    const [everybody, ann] = [calls(), calls()]
    const seen = await watching(t, watcher, (callback) => watcher.presence.subscribe('bob', callback), server, 'bob')
    watcher.presence.subscribe(everybody)
    watcher.presence.subscribe('ann', ann)
    await until('both subscriptions work', async () => {
      await (await Raw.login(t, server, { username: 'ann' })).close()
      return ann.seen.length > 0 && everybody.seen.length > 0
    })
    await until('ann is gone', async () => !(await ask(watcher, ['ann'])).ann)
    watcher.presence.unsubscribe(everybody)
    watcher.presence.unsubscribe('ann', ann)
    // A subscription made later proves that the server has handled what came before it.
    await watching(t, watcher, (callback) => watcher.presence.subscribe('carl', callback), server, 'carl')
    for (const list of [everybody.seen, ann.seen, seen]) list.length = 0
    const hers = await user(t, server, 'ann')
    const his = await user(t, server, 'bob')
    hers.close()
    await untilSeen(seen, [['bob', true]])
    his.close()
    await untilSeen(seen, [['bob', true], ['bob', false]])
    assert.deepEqual([...everybody.seen, ...ann.seen], [])
  })

  better('a destroyed socket is a leaving, a client that comes back a coming', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const [watcher, ann] = [await user(t, server, 'watcher'), await user(t, proxy, 'ann')]
    ann.mayFail = true
    const seen = await watching(t, watcher, (callback) => watcher.presence.subscribe(callback), server)
    const expected = []
    for (let round = 0; round < 5; round++) {
      // A client that is back before the server has noticed the end of its old connection was never gone.
      proxy.lock()
      expected.push(['ann', false])
      await until('she is gone', () => seen.length >= expected.length)
      proxy.unlock()
      expected.push(['ann', true])
      await until('she is back', () => seen.length >= expected.length)
    }
    assert.deepEqual(seen, expected)
    assert.deepEqual(await ask(watcher, ['ann']), { ann: true })
  })

  test('a watcher that comes back watches again, and what it asked meanwhile is answered', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const watcher = await user(t, proxy, 'watcher')
    watcher.mayFail = true
    const everybody = await watching(t, watcher, (callback) => watcher.presence.subscribe(callback), server)
    const ann = await watching(t, watcher, (callback) => watcher.presence.subscribe('ann', callback), server, 'ann')
    proxy.lock()
    await isLost(watcher)
    const late = calls()
    watcher.presence.subscribe('bob', late)
    const [all, some] = [watcher.presence.getAll(), watcher.presence.getAll(['ann'])]
    proxy.unlock()
    await isOpen(watcher)
    assert.deepEqual(await within('the question', all), [])
    assert.deepEqual(await within('the other', some), { ann: false })
    await until('all three are told', async () => {
      const two = [await Raw.login(t, server, { username: 'ann' }), await Raw.login(t, server, { username: 'bob' })]
      await Promise.all(two.map((raw) => raw.close()))
      return ann.length > 0 && late.seen.length > 0 && everybody.some(([name]) => name === 'bob')
    }, { every: 20 })
  })

  better('five hundred users come and go, and every watcher has counted right', async (t) => {
    const server = await serverFor(t)
    const { watchers, seen } = await watchingEverybody(t, server, 6)
    const names = Array.from({ length: 500 }, (_, index) => `user ${index % 250}`)
    const raws = []
    for (let at = 0; at < names.length; at += 50) {
      raws.push(...await Promise.all(names.slice(at, at + 50).map((username) => Raw.login(t, server, { username }))))
    }
    assert.equal((await ask(watchers[0])).length, 255)
    raws.forEach((raw, index) => index % 3 === 0 ? raw.socket._socket.destroy() : raw.terminate())
    await until('all are gone', async () => (await ask(watchers[0])).length === 5)
    for (const list of seen) {
      await until('everything is told', () => list.length >= 500)
      assert.equal(list.length, 500)
      const online = new Set()
      for (const [name, on] of list) {
        assert.equal(online.has(name), !on, name)
        if (on) online.add(name)
        else online.delete(name)
      }
    }
  })
})

describe('on the wire', () => {
  const ack = (action, more = {}) => ({ topic: TOPIC.PRESENCE, action, isAck: true, ...more })

  test('questions and answers have exactly these fields', async (t) => {
    const server = await serverFor(t)
    const raw = await Raw.login(t, server, { username: 'ann' })
    raw.presence(PRESENCE.QUERY_ALL, {})
    assert.deepEqual(await raw.take(), { topic: TOPIC.PRESENCE, action: PRESENCE.QUERY_ALL_RESPONSE })
    assert.equal(raw.frames.at(-1).toString('hex'), '0610071a020803')
    raw.presence(PRESENCE.QUERY, { names: ['ann', 'bob'], correlationId: '4' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.PRESENCE, action: PRESENCE.QUERY_RESPONSE, data: '{"ann":true,"bob":false}', correlationId: '4' })
    raw.presence(PRESENCE.QUERY, { names: [], correlationId: '5' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.PRESENCE, action: PRESENCE.QUERY_RESPONSE, data: '{}', correlationId: '5' })
  })

  test('subscriptions: acks, duplicates, the general word before the particular', async (t) => {
    const server = await serverFor(t)
    const raw = await Raw.login(t, server, { username: 'ann' })
    raw.presence(PRESENCE.SUBSCRIBE_ALL, {})
    assert.deepEqual(await raw.take(), ack(PRESENCE.SUBSCRIBE_ALL))
    raw.presence(PRESENCE.SUBSCRIBE_ALL, {})
    assertFields(await raw.take(), { action: PRESENCE.MULTIPLE_SUBSCRIPTIONS, originalAction: PRESENCE.SUBSCRIBE_ALL })
    assert.deepEqual(await raw.take(), ack(PRESENCE.SUBSCRIBE_ALL))
    raw.presence(PRESENCE.SUBSCRIBE, { names: ['bob'], correlationId: '0' })
    assert.deepEqual(await raw.take(), ack(PRESENCE.SUBSCRIBE, { correlationId: '0' }))
    raw.presence(PRESENCE.SUBSCRIBE, { names: ['bob'], correlationId: '1' })
    assertFields(await raw.take(), { action: PRESENCE.MULTIPLE_SUBSCRIPTIONS, name: 'bob', originalAction: PRESENCE.SUBSCRIBE })
    assert.deepEqual(await raw.take(), ack(PRESENCE.SUBSCRIBE, { correlationId: '1' }))
    const bob = await Raw.login(t, server, { username: 'bob' })
    const joined = [await raw.take(), await raw.take()]
    bob.terminate()
    const left = [await raw.take(), await raw.take()]
    const told = (action) => ({ topic: TOPIC.PRESENCE, action, name: 'bob' })
    assert.deepEqual(joined, [told(PRESENCE.PRESENCE_JOIN_ALL), told(PRESENCE.PRESENCE_JOIN)])
    assert.deepEqual(left, [told(PRESENCE.PRESENCE_LEAVE_ALL), told(PRESENCE.PRESENCE_LEAVE)])
    for (const [action, fields] of [[PRESENCE.UNSUBSCRIBE_ALL, {}], [PRESENCE.UNSUBSCRIBE, { names: ['bob', 'nobody'], correlationId: '2' }]]) {
      for (let round = 0; round < 2; round++) {
        raw.presence(action, fields)
        assert.deepEqual(await raw.take(), ack(action, fields.correlationId ? { correlationId: '2' } : {}))
      }
    }
  })

  better('upstream’s token for everybody is a user like any other', async (t) => {
    const server = await serverFor(t)
    const [raw, other] = [await Raw.login(t, server, { username: 'ann' }), await Raw.login(t, server, { username: 'eve' })]
    raw.presence(PRESENCE.SUBSCRIBE, { names: ['%_EVERYONE_%', 'bob'], correlationId: '0' })
    other.presence(PRESENCE.SUBSCRIBE_ALL, {})
    await raw.next({ isAck: true })
    await other.next({ isAck: true })
    const bob = await Raw.login(t, server, { username: 'bob' })
    assertFields(await raw.take(), { action: PRESENCE.PRESENCE_JOIN, name: 'bob' })
    const token = await Raw.login(t, server, { username: '%_EVERYONE_%' })
    assertFields(await raw.take(), { action: PRESENCE.PRESENCE_JOIN, name: '%_EVERYONE_%' })
    for (const name of ['bob', '%_EVERYONE_%']) assertFields(await other.take(), { action: PRESENCE.PRESENCE_JOIN_ALL, name })
    bob.terminate()
    token.terminate()
  })

  test('a topic that is switched off is unknown', { skip: REFERENCE }, async (t) => {
    const without = await serverFor(t, { extra: { enabledFeatures: { presence: false } } })
    const raw = await Raw.login(t, without)
    raw.presence(PRESENCE.QUERY_ALL, {})
    assertFields(await raw.take(), { topic: TOPIC.PARSER, action: PARSER.UNKNOWN_TOPIC, originalTopic: TOPIC.PRESENCE })
  })
})
