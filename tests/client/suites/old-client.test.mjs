// The client of the third generation, unchanged from npm: connection, records, lists, events, calls, presence,
// reconnection.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { calls, subscribed } from '../helpers/clients.mjs'
import {
  oldClientFor, oldLoggedIn, oldLogin, oldMake, oldReady, oldReadyList, oldSet, oldSetData, untilError
} from '../helpers/old-clients.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { LIVELY, REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'

const skip = REFERENCE
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const pair = async (t, options) => [await oldLoggedIn(t, server, options), await oldLoggedIn(t, server, options)]
const same = (what, seen, expected) => until(`${what} is ${JSON.stringify(expected)}`, () => JSON.stringify(seen()) === JSON.stringify(expected))

/** A record that two clients have. */
async function shared (t, options) {
  const [one, two] = await pair(t, options)
  const name = unique('shared')
  return { name, one, two, mine: await oldReady(one, name), theirs: await oldReady(two, name) }
}

describe('connection', { skip }, () => {
  test('a login without credentials', async (t) => {
    const client = oldClientFor(t, server)
    assert.deepEqual(await oldLogin(client), { success: true, data: null })
    assert.equal(client.getConnectionState(), 'OPEN')
    assert.deepEqual(client.states, ['AWAITING_CONNECTION', 'CHALLENGING', 'AWAITING_AUTHENTICATION', 'AUTHENTICATING', 'OPEN'])
  })

  test('a login by promise, and after the connection was made', async (t) => {
    const client = oldClientFor(t, server)
    await until('the server has greeted', () => client.getConnectionState() === 'AWAITING_AUTHENTICATION')
    assert.equal(await within('login', client.loginAsync({ username: 'anna', nested: { a: [1] } })), null)
  })

  test('what is said before the login is done after it', async (t) => {
    const client = oldClientFor(t, server)
    const record = client.record.getRecord(unique('early'))
    record.set({ early: true })
    await oldLogin(client)
    await within('the record', record.whenReady())
    assert.deepEqual(record.get(), { early: true })
  })

  test('it stays over many heartbeats, because the server pings', async (t) => {
    const quick = await serverFor(t, { textEndpoint: { heartbeatInterval: LIVELY } })
    const client = await oldLoggedIn(t, quick, { heartbeatInterval: 1.2 * LIVELY })
    const prober = await oldLoggedIn(t, quick, { heartbeatInterval: 1.2 * LIVELY })
    const end = Date.now() + 5 * LIVELY
    await until('time passes', () => Date.now() > end)
    const seen = calls()
    await subscribed(client, unique('alive'), seen, prober)
    assert.deepEqual(client.states.filter((state) => state === 'RECONNECTING'), [])
  })

  test('the timeout of a client that does not log in is reported, and it stays away', async (t) => {
    const quick = await serverFor(t, { textEndpoint: { unauthenticatedClientTimeout: 150 } })
    const client = oldClientFor(t, quick)
    await untilError(client, 'CONNECTION_AUTHENTICATION_TIMEOUT')
    await until('it is closed', () => client.getConnectionState() === 'CLOSED')
    client.login({})
    await untilError(client, 'IS_CLOSED')
  })

  test('close ends it', async (t) => {
    const client = await oldLoggedIn(t, server)
    client.close()
    await until('it is closed', () => client.getConnectionState() === 'CLOSED')
  })
})

describe('records', { skip }, () => {
  test('driver/14: whole document, then one path, seen by a whole-record and a path subscriber', async (t) => {
    const { mine, theirs, name } = await shared(t)
    const third = await oldReady(await oldLoggedIn(t, server), name)
    const [documents, positions] = [calls(), calls()]
    theirs.subscribe(documents)
    third.subscribe('position', positions)
    mine.set({ name: 'Anna', position: { x: 1, y: 2 }, speed: 30 })
    mine.set('position.x', 5)
    mine.set('speed', 31)
    await until('all is seen', () => theirs.version === 3 && third.version === 3)
    assert.deepEqual(documents.seen, [
      { name: 'Anna', position: { x: 1, y: 2 }, speed: 30 },
      { name: 'Anna', position: { x: 5, y: 2 }, speed: 30 },
      { name: 'Anna', position: { x: 5, y: 2 }, speed: 31 }
    ])
    assert.deepEqual(positions.seen, [{ x: 1, y: 2 }, { x: 5, y: 2 }])
  })

  test('values of every kind survive at a path', async (t) => {
    const { mine, theirs } = await shared(t)
    const values = [null, true, false, 0, -0.25, 1e21, '', 'ünïcödé 🚀', 'a\tb\n"c"', [], [1, null, [2]], {}, { deep: { er: [{}] } }]
    for (const [index, value] of values.entries()) mine.set(`v.k${index}`, value)
    await until('all is seen', () => theirs.version === values.length)
    assert.deepEqual(theirs.get('v'), Object.fromEntries(values.map((value, index) => [`k${index}`, value])))
  })

  test('a path set to undefined is gone for everybody', async (t) => {
    const { mine, theirs } = await shared(t)
    await oldSet(mine, { a: { b: 1, c: 2 }, d: 3 })
    mine.set('a.b', undefined)
    await same('their value', () => theirs.get(), { a: { c: 2 }, d: 3 })
  })

  test('writes are acknowledged, by callback and by promise', async (t) => {
    const { mine, name } = await shared(t)
    await oldSet(mine, { a: 1 })
    await oldSet(mine, 'a', 2)
    await within('the promise', mine.setWithAck('b', { c: 3 }))
    const three = await oldLoggedIn(t, server)
    assert.deepEqual(await within('a snapshot', three.record.snapshot(name)), { a: 2, b: { c: 3 } })
  })

  test('a hundred acknowledged writes are acknowledged in order', async (t) => {
    const { mine } = await shared(t)
    const order = []
    await Promise.all(Array.from({ length: 100 }, (_, index) => oldSet(mine, 'n', index + 1).then(() => order.push(index))))
    assert.deepEqual(order, Array.from({ length: 100 }, (_, index) => index))
    assert.equal(mine.version, 100)
  })

  test('a thousand writes reach the other complete and in order', async (t) => {
    const { mine, theirs } = await shared(t)
    const seen = []
    theirs.subscribe('n', (value) => seen.push(value))
    for (let index = 1; index <= 1000; index++) mine.set('n', index)
    await until('all is seen', () => theirs.version === 1000)
    assert.deepEqual(seen, Array.from({ length: 1000 }, (_, index) => index + 1))
  })

  test('discard ends the updates, and a new handle sees the newest value', async (t) => {
    const { one, mine, theirs, name } = await shared(t)
    const seen = calls()
    mine.subscribe(seen)
    const discarded = new Promise((resolve) => mine.on('discard', resolve))
    mine.discard()
    await within('the discard', discarded)
    await oldSet(theirs, { after: 'discard' })
    const again = await oldReady(one, name)
    assert.deepEqual(again.get(), { after: 'discard' })
    assert.deepEqual(seen.seen, [])
  })

  test('delete deletes for everybody, and a new record of the name starts at 0', async (t) => {
    const { two, mine, theirs, name } = await shared(t)
    await oldSet(mine, { a: 1 })
    const gone = [mine, theirs].map((record) => new Promise((resolve) => record.on('delete', resolve)))
    mine.delete()
    await within('both to be told', Promise.all(gone))
    const again = await oldReady(two, name)
    assert.deepEqual([again.version, again.get()], [0, {}])
  })

  test('snapshot, head and has of what exists', async (t) => {
    const { one, mine, name } = await shared(t)
    await oldSet(mine, { a: 1 })
    const three = await oldLoggedIn(t, server)
    assert.deepEqual(await within('snapshot', three.record.snapshot(name)), { a: 1 })
    assert.equal(await within('head', three.record.head(name)), 1)
    assert.equal(await within('has', three.record.has(name)), true)
    assert.deepEqual(await within('a snapshot of what it has', one.record.snapshot(name)), { a: 1 })
  })

  test('snapshot, head and has of what does not', async (t) => {
    const client = await oldLoggedIn(t, server)
    const name = unique('missing')
    assert.equal(await within('head', client.record.head(name)), -1)
    assert.equal(await within('has', client.record.has(name)), false)
    const told = within('snapshot', new Promise((resolve) => client.record.snapshot(name, (error) => resolve(error))))
    assert.equal(await told, 'RECORD_NOT_FOUND')
  })

  test('setData creates and updates, whole and by path, and is acknowledged', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('setdata')
    await oldSetData(one, name, { a: 1 })
    await oldSetData(one, name, 'b.c', 2)
    one.record.setData(name, 'b.d', 'x')
    const record = await oldReady(two, name)
    await same('the value', () => record.get(), { a: 1, b: { c: 2, d: 'x' } })
    one.record.setData(name, { whole: true })
    await same('the value', () => record.get(), { whole: true })
    assert.equal(record.version, 4)
  })

  test('a write that cannot be is told to its callback', async (t) => {
    const { mine } = await shared(t)
    const told = oldSet(mine, '__proto__.x', 1).then(() => 'nothing', (error) => error)
    assert.equal(await told, 'INVALID_MESSAGE_DATA')
    await untilError(mine._client, 'INVALID_MESSAGE_DATA')
  })

  test('an anonymous record changes its name', async (t) => {
    const [one, two] = await pair(t)
    const [first, second] = [unique('anon'), unique('anon')]
    await oldSetData(one, first, { who: 'first' })
    await oldSetData(one, second, { who: 'second' })
    const anonymous = two.record.getAnonymousRecord()
    const seen = calls()
    anonymous.subscribe('who', seen)
    anonymous.setName(first)
    await until('the first value is there', () => anonymous.get('who') === 'first')
    anonymous.setName(second)
    await until('the second value is there', () => anonymous.get('who') === 'second')
    one.record.setData(second, 'who', 'changed')
    await until('the change is seen', () => seen.seen.at(-1) === 'changed')
  })

  for (const [strategy, winner] of [['REMOTE_WINS', 'two'], ['LOCAL_WINS', 'one']]) {
    test(`two writers of one version converge when ${strategy}`, async (t) => {
      const proxy = await Proxy.start(t, server)
      const one = await oldLoggedIn(t, proxy)
      const two = await oldLoggedIn(t, server)
      const name = unique('conflict')
      const [mine, theirs] = [await oldReady(one, name), await oldReady(two, name)]
      mine.setMergeStrategy(one.MERGE_STRATEGIES[strategy])
      proxy.hold()
      await oldSet(theirs, { by: 'two' })
      mine.set({ by: 'one' })
      proxy.release()
      await same('their value', () => theirs.get(), { by: winner })
      await same('my value', () => mine.get(), { by: winner })
      mine.set('more', 1)
      await same('their value', () => theirs.get(), { by: winner, more: 1 })
    })
  }
})

describe('writes that are refused', { skip }, () => {
  const open = (...rights) => ({ '*': Object.fromEntries(rights.map((right) => [right, true])) })
  const permissions = {
    record: { '*': { ...open('create', 'read', 'delete', 'listen', 'notify')['*'], write: 'data.forbidden !== true' } },
    event: open('publish', 'subscribe', 'listen'),
    rpc: open('provide', 'request'),
    presence: open('allow')
  }
  for (const strategy of ['REMOTE_WINS', 'LOCAL_WINS']) {
    test(`one that is denied does not lose those that come after it, with ${strategy}`, async (t) => {
      const own = await serverFor(t, { extra: { permission: { type: 'config', options: { permissions } } } })
      const [one, two] = [await oldLoggedIn(t, own), await oldLoggedIn(t, own)]
      const name = unique('document')
      const [mine, theirs] = [await oldReady(one, name), await oldReady(two, name)]
      mine.setMergeStrategy(one.MERGE_STRATEGIES[strategy])
      await oldSet(mine, { n: 1 })
      await assert.rejects(oldSet(mine, { forbidden: true }), (error) => error === 'MESSAGE_DENIED')
      await untilError(one, 'MESSAGE_DENIED')
      // From here on its version is one too high: the next write conflicts, and is merged or given up.
      await oldSet(mine, { n: 2 })
      await same('my value', () => mine.get(), { n: strategy === 'REMOTE_WINS' ? 1 : 2 })
      await until('the versions agree', () => Number(mine.version) === theirs.version)
      await oldSet(mine, 'more', 3)
      await same('their value', () => theirs.get(), { ...mine.get(), more: 3 })
    })
  }
})

describe('questions that are denied', { skip }, () => {
  const rights = (...names) => Object.fromEntries(names.map((right) => [right, true]))
  const record = { '*': rights('create', 'read', 'write', 'delete', 'listen', 'notify'), 'shut/.*': { read: false }, 'broken/.*': { read: 'oldData.a.b.c === 1' } }
  const permissions = { record, event: { '*': rights('publish', 'subscribe', 'listen') }, rpc: { '*': rights('provide', 'request') }, presence: { '*': rights('allow') } }

  test('whoever asks for one record once is called back, once, with the denial', async (t) => {
    const own = await serverFor(t, { extra: { permission: { type: 'config', options: { permissions } } } })
    const client = await oldLoggedIn(t, own)
    for (const [path, expected] of [['shut', 'MESSAGE_DENIED'], ['broken', 'MESSAGE_PERMISSION_ERROR']]) {
      for (const asks of ['snapshot', 'has', 'head']) {
        const called = calls()
        client.record[asks](`${path}/x`, called)
        await until(`${asks} of ${path} is called back`, () => called.seen.length > 0)
        await oldSetData(client, unique('round'), { trip: 1 })
        assert.deepEqual(called.seen, [[expected, undefined]], `${asks} of ${path}`)
        await assert.rejects(within('the promise', client.record[asks](`${path}/y`)))
      }
    }
    assert.deepEqual(client.errors, [], 'nothing else is reported')
  })
})

describe('listening', { skip }, () => {
  for (const topic of ['event', 'record']) {
    test(`whoever stopped to listen to ${topic}s while the line was cut can listen again`, async (t) => {
      const proxy = await Proxy.start(t, server)
      const client = await oldLoggedIn(t, proxy)
      const pattern = unique('cut').replaceAll('/', '-')
      const acknowledged = () => until('it is acknowledged', () => client[topic]._listener[pattern] === undefined)
      client[topic].listen(pattern, () => {})
      await oldSetData(client, unique('round'), { trip: 1 })
      proxy.lock()
      await until('it knows', () => client.getConnectionState() !== 'OPEN')
      client[topic].unlisten(pattern)
      proxy.unlock()
      await acknowledged()
      assert.deepEqual(client.errors.filter((error) => error.event !== 'connectionError'), [])
      const asked = calls()
      client[topic].listen(`${pattern}`, asked)
      const other = await oldLoggedIn(t, server)
      if (topic === 'event') other.event.subscribe(pattern, () => {})
      else await oldReady(other, pattern)
      await until('it is asked', () => asked.seen.length > 0)
    })
  }
})

describe('writes that conflict', { skip }, () => {
  const outcomes = { REMOTE_WINS: { by: 'two' }, LOCAL_WINS: { by: 'one' }, 'its own': { by: 'one', merged: true }, 'its own, later': { by: 'one', merged: true } }
  for (const [strategy, outcome] of Object.entries(outcomes)) {
    for (const form of ['whole', 'by path']) {
      test(`whoever waits is called back exactly once, ${form}, with ${strategy}`, async (t) => {
        const proxy = await Proxy.start(t, server)
        const [one, two] = [await oldLoggedIn(t, proxy), await oldLoggedIn(t, server)]
        const name = unique('once')
        const [mine, theirs] = [await oldReady(one, name), await oldReady(two, name)]
        const called = calls()
        const answered = () => until('it is called back', () => called.seen.length > 0)
        const merge = (record, data, version, done) => done(null, { ...data, ...record.get(), merged: true })
        if (strategy === 'its own') mine.setMergeStrategy(merge)
        else if (strategy === 'its own, later') mine.setMergeStrategy((...parts) => answered().then(() => merge(...parts)))
        else mine.setMergeStrategy(one.MERGE_STRATEGIES[strategy])
        proxy.hold()
        await oldSet(theirs, { by: 'two' })
        if (form === 'whole') mine.set({ by: 'one' }, called)
        else mine.set('by', 'one', called)
        proxy.release()
        await answered()
        await same('their value', () => theirs.get(), outcome)
        await same('my value', () => mine.get(), outcome)
        // Later writes begin with the right version, and are acknowledged on their own.
        await until('the versions agree', () => Number(mine.version) === theirs.version)
        await oldSet(mine, 'more', 1)
        await until('it is seen', () => theirs.get('more') === 1)
        assert.deepEqual(called.seen, [null])
        assert.deepEqual(one.errors, [])
      })
    }
  }

  for (const strategy of ['REMOTE_WINS', 'LOCAL_WINS']) {
    test(`whoever waits for one of several is told, with ${strategy}`, async (t) => {
      const proxy = await Proxy.start(t, server)
      const [one, two] = [await oldLoggedIn(t, proxy), await oldLoggedIn(t, server)]
      const name = unique('conflict')
      const [mine, theirs] = [await oldReady(one, name), await oldReady(two, name)]
      mine.setMergeStrategy(one.MERGE_STRATEGIES[strategy])
      proxy.hold()
      await oldSet(theirs, { by: 'two' })
      const called = [1, 2, 3].map((n) => {
        const each = calls()
        mine.set({ by: 'one', n }, each)
        return each
      })
      proxy.release()
      await until('all are called back', () => called.every((each) => each.seen.length > 0))
      await oldSet(mine, 'more', 1)
      assert.deepEqual(called.map((each) => each.seen), [[null], [null], [null]])
    })
  }
})

describe('lists', { skip }, () => {
  test('entries are set, added, moved and removed for both, with their events', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('list')
    const [mine, theirs] = [await oldReadyList(one, name), await oldReadyList(two, name)]
    const happened = []
    for (const event of ['entry-added', 'entry-removed', 'entry-moved']) theirs.on(event, (entry, index) => happened.push([event, entry, index]))
    assert.equal(mine.isEmpty(), true)
    mine.setEntries(['a', 'b', 'c'])
    await same('their list', () => theirs.getEntries(), ['a', 'b', 'c'])
    mine.addEntry('d')
    await same('their list', () => theirs.getEntries(), ['a', 'b', 'c', 'd'])
    theirs.addEntry('x', 1)
    await same('my list', () => mine.getEntries(), ['a', 'x', 'b', 'c', 'd'])
    theirs.removeEntry('x')
    await same('my list', () => mine.getEntries(), ['a', 'b', 'c', 'd'])
    mine.setEntries(['b', 'a', 'c', 'd'])
    await same('their list', () => theirs.getEntries(), ['b', 'a', 'c', 'd'])
    // What moved because something came before it is told as well.
    const told = (kind) => happened.filter(([event]) => event === kind)
    assert.deepEqual(told('entry-added').slice(-2), [['entry-added', 'd', 3], ['entry-added', 'x', 1]])
    assert.deepEqual(told('entry-removed'), [['entry-removed', 'x', 1]])
    assert.deepEqual(told('entry-moved').slice(-2).sort(), [['entry-moved', 'a', 1], ['entry-moved', 'b', 0]])
    assert.deepEqual(await within('a snapshot', (await oldLoggedIn(t, server)).record.snapshot(name)), ['b', 'a', 'c', 'd'])
  })
})

describe('events', { skip }, () => {
  test('payloads of every kind arrive as they were sent, and once', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('kinds')
    const seen = []
    await subscribed(one, name, (...data) => seen.push(data), two)
    const kinds = [undefined, null, true, false, 0, -1.5, 1e300, '', 'text', 'ünïcödé 🚀 \u2028', [], [1, [2]], {}, { a: { b: null } }]
    for (const kind of kinds) two.event.emit(name, kind)
    await until('all arrive', () => seen.length === kinds.length)
    // `undefined` too is an argument of the callback.
    assert.deepEqual(seen, kinds.map((kind) => [kind]))
  })

  test('a thousand events arrive complete and in order', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('order')
    const seen = []
    await subscribed(one, name, (data) => seen.push(data), two)
    for (let index = 0; index < 1000; index++) two.event.emit(name, index)
    await until('all arrive', () => seen.length >= 1000)
    assert.deepEqual(seen, Array.from({ length: 1000 }, (_, index) => index))
  })

  test('after unsubscribe nothing arrives', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('left')
    const seen = calls()
    const callback = await subscribed(one, name, seen, two)
    one.event.unsubscribe(name, callback)
    await subscribed(one, unique('marker'), () => {}, two)
    two.event.emit(name, 'too late')
    const again = calls()
    await subscribed(one, name, again, two)
    two.event.emit(name, 'again')
    await until('the new subscription works', () => again.seen.includes('again'))
    assert.deepEqual(seen.seen, [])
  })
})

describe('calls', { skip }, () => {
  test('arguments and results of every kind, and callbacks', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('kinds')
    provider.rpc.provide(name, (data, response) => response.send(data))
    await until('it is provided', async () => await caller.rpc.make(name, 1).then(() => true, () => false), { every: 10 })
    // To a provider of this generation `undefined` is null only where nothing at all was sent.
    for (const kind of [null, true, 0, -1.5, '', 'text', [1, [2]], { a: { b: null } }, undefined]) assert.deepEqual(await oldMake(caller, name, kind), kind)
  })

  test('an error, a rejection and nobody to ask', async (t) => {
    const [provider, caller] = await pair(t)
    const [name, rejected, nobody] = [unique('fails'), unique('rejected'), unique('nobody')]
    provider.rpc.provide(name, (data, response) => response.error('out of order'))
    provider.rpc.provide(rejected, (data, response) => response.reject())
    await until('both are provided', async () => await caller.rpc.make(name, 1).catch((error) => error) === 'out of order', { every: 10 })
    assert.equal(await oldMake(caller, name, 1).catch((error) => error), 'out of order')
    assert.equal(await oldMake(caller, rejected, 1).catch((error) => error), 'NO_RPC_PROVIDER')
    assert.equal(await oldMake(caller, nobody, 1).catch((error) => error), 'NO_RPC_PROVIDER')
    provider.rpc.unprovide(name)
    await until('it is provided no more', async () => await caller.rpc.make(name, 1).catch((error) => error) === 'NO_RPC_PROVIDER', { every: 10 })
  })

  test('a provider that goes away hands over to another', async (t) => {
    const [first, second, caller] = [await oldLoggedIn(t, server), await oldLoggedIn(t, server), await oldLoggedIn(t, server)]
    const name = unique('handover')
    let asked
    const waiting = new Promise((resolve) => { asked = resolve })
    first.rpc.provide(name, () => asked())
    second.rpc.provide(name, () => asked())
    const answer = until('somebody is asked', async () => await Promise.race([waiting.then(() => true), caller.rpc.make(name, 1).then(() => true, () => false)]), { every: 10 })
    await answer
    first.close()
    second.rpc.unprovide(name)
    await until('nobody provides it', async () => await caller.rpc.make(name, 1).catch((error) => error) === 'NO_RPC_PROVIDER', { every: 10 })
  })
})

describe('presence', { skip }, () => {
  test('who is online, who comes and goes', async (t) => {
    const own = await serverFor(t)
    const ann = await oldLoggedIn(t, own, {}, { username: 'ann' })
    const [everybody, bobs] = [calls(), calls()]
    ann.presence.subscribe(everybody)
    ann.presence.subscribe('bob', bobs)
    const all = () => within('the answer', new Promise((resolve) => ann.presence.getAll(resolve)))
    assert.deepEqual(await all(), [])
    const bob = await oldLoggedIn(t, own, {}, { username: 'bob' })
    await until('bob is seen', () => everybody.seen.length >= 1 && bobs.seen.length >= 1)
    assert.deepEqual(await all(), ['bob'])
    assert.deepEqual(await within('the answer', new Promise((resolve) => ann.presence.getAll(['bob', 'cid'], resolve))), { bob: true, cid: false })
    bob.close()
    await until('bob has left', () => everybody.seen.at(-1)[1] === false && bobs.seen.at(-1)[0] === false)
    assert.deepEqual(everybody.seen[0], ['bob', true])
    assert.deepEqual(bobs.seen[0], [true, 'bob'])
  })
})

describe('reconnection', { skip }, () => {
  test('a cut line: records, lists, events, calls and presence are taken up again', async (t) => {
    const own = await serverFor(t)
    const proxy = await Proxy.start(t, own)
    const one = await oldLoggedIn(t, proxy, {}, { username: 'ann' })
    const two = await oldLoggedIn(t, own, {}, { username: 'bob' })
    one.mayFail = true
    const [event, name, list, call] = [unique('event'), unique('record'), unique('list'), unique('call')]
    const [seen, users] = [calls(), calls()]
    await subscribed(one, event, seen, two)
    one.presence.subscribe(users)
    one.rpc.provide(call, (data, response) => response.send(data + 1))
    const [mine, theirs] = [await oldReady(one, name), await oldReady(two, name)]
    const [myList, theirList] = [await oldReadyList(one, list), await oldReadyList(two, list)]
    for (let round = 1; round <= 3; round++) {
      proxy.cut()
      await until('the line is lost', () => one.getConnectionState() !== 'OPEN')
      await oldSet(theirs, { round })
      theirList.setEntries([`entry ${round}`])
      await until('it is back', () => one.getConnectionState() === 'OPEN')
      await same('the record', () => mine.get(), { round })
      await same('the list', () => myList.getEntries(), [`entry ${round}`])
      await until('the event arrives again', () => {
        if (!seen.seen.includes(`probe ${round}`)) two.event.emit(event, `probe ${round}`)
        return seen.seen.includes(`probe ${round}`)
      }, { every: 20 })
      await until('it is provided again', async () => await two.rpc.make(call, round).catch(() => 0) === round + 1, { every: 10 })
      const guest = await oldLoggedIn(t, own, {}, { username: `guest ${round}` })
      await until('the guest is seen', () => users.seen.some(([user, on]) => on && user === `guest ${round}`))
      guest.close()
      mine.set('live', round)
      await same('their record', () => theirs.get(), { round, live: round })
    }
  })

  test('a restart of the server on the same data', async (t) => {
    const own = await serverFor(t)
    const client = await oldLoggedIn(t, own)
    client.mayFail = true
    const record = await oldReady(client, unique('record'))
    await oldSet(record, { before: 1 })
    await own.end('SIGTERM')
    await until('the client noticed', () => client.getConnectionState() !== 'OPEN')
    await own.launch()
    await until('it is back', () => client.getConnectionState() === 'OPEN', { deadline: 20000 })
    const other = await oldReady(await oldLoggedIn(t, own), record.name)
    assert.deepEqual(other.get(), { before: 1 })
    await oldSet(other, 'after', 2)
    await same('the record', () => record.get(), { before: 1, after: 2 })
  })
})

test('the path is whatever the configuration says', { skip }, async (t) => {
  const other = await serverFor(t, { textEndpoint: { urlPath: '/some/other/path' } })
  const client = oldClientFor(t, other, {}, '/some/other/path')
  assert.deepEqual(await oldLogin(client), { success: true, data: null })
})
