// Records through the official client.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { calls, loggedIn, ready, untilData, untilVersion } from '../helpers/clients.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const pair = async (t, options) => [await loggedIn(t, server, options), await loggedIn(t, server, options)]

describe('the first walk-through', () => {
  test('driver/14: whole document, then one path, seen by a whole-record and a path subscriber', async (t) => {
    const [one, two] = await pair(t)
    const three = await loggedIn(t, server)
    const [mine, whole, position] = [await ready(one, 'driver/14'), await ready(two, 'driver/14'), await ready(three, 'driver/14')]
    const [documents, positions] = [calls(), calls()]
    whole.subscribe(documents)
    position.subscribe('position', positions)

    mine.set({ name: 'Anna', position: { x: 1, y: 2 }, speed: 30 })
    await untilVersion(whole, 1)
    mine.set('position.x', 5)
    await untilVersion(whole, 2)
    mine.set('speed', 31)
    await untilVersion(whole, 3)
    await untilVersion(position, 3)

    assert.deepEqual(documents.seen, [
      { name: 'Anna', position: { x: 1, y: 2 }, speed: 30 },
      { name: 'Anna', position: { x: 5, y: 2 }, speed: 30 },
      { name: 'Anna', position: { x: 5, y: 2 }, speed: 31 }
    ])
    assert.deepEqual(positions.seen, [{ x: 1, y: 2 }, { x: 5, y: 2 }])
  })
})

describe('reading and writing', () => {
  test('a new record is version 0 and empty', async (t) => {
    const client = await loggedIn(t, server)
    const record = await ready(client, unique('new'))
    assert.equal(record.version, 0)
    assert.deepEqual(record.get(), {})
  })

  test('a set before the record is ready is sent once it is', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('early')
    const record = one.record.getRecord(name)
    record.set({ early: true })
    record.set('bird', 'worm')
    await record.whenReady()
    const theirs = await ready(two, name)
    await untilData(theirs, { early: true, bird: 'worm' })
  })

  test('values of every kind survive, also at a path', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('kinds')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    const values = [null, true, 0, -0.25, 1e21, '', 'ünïcödé 🚀', [], [1, null, [2]], {}, { deep: { er: [{}] } }]
    for (const [index, value] of values.entries()) mine.set(`v.k${index}`, value)
    await untilVersion(theirs, values.length)
    assert.deepEqual(theirs.get('v'), Object.fromEntries(values.map((value, index) => [`k${index}`, value])))
  })

  test('erase takes a leaf and a branch away for everybody', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('erase')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    await mine.setWithAck({ a: { b: 1, c: 2 }, d: 3 })
    mine.erase('a.b')
    await untilData(theirs, { a: { c: 2 }, d: 3 })
    await within('the ack of an erase', mine.eraseWithAck('a'))
    await untilData(theirs, { d: 3 })
    mine.set('d', undefined)
    await untilData(theirs, {})
    assert.equal(theirs.version, 4)
  })

  test('a path set to null stores null', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('null')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    await mine.setWithAck('gone', null)
    await untilData(theirs, { gone: null })
  })

  better('a path below null replaces the null', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('below-null')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    await mine.setWithAck('gone', null)
    await mine.setWithAck('gone.further', 1)
    await untilData(theirs, { gone: { further: 1 } })
  })

  test('setWithAck resolves after the write, with a callback as well', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('ack')
    const mine = await ready(one, name)
    await within('the ack', mine.setWithAck({ a: 1 }))
    assert.deepEqual(await within('a snapshot', two.record.snapshot(name)), { a: 1 })
    const error = await within('the callback', new Promise((resolve) => mine.setWithAck('a', 2, resolve)))
    assert.equal(error, null)
    assert.equal(await within('head', two.record.head(name)), 2)
  })

  test('a hundred acknowledged writes resolve in order', async (t) => {
    const client = await loggedIn(t, server)
    const record = await ready(client, unique('acks'))
    const order = []
    await within('all acks', Promise.all(Array.from({ length: 100 }, (_, index) => record.setWithAck('n', index + 1).then(() => order.push(index)))))
    assert.deepEqual(order, Array.from({ length: 100 }, (_, index) => index))
    assert.equal(record.version, 100)
  })

  test('a write that changes nothing is not sent and acknowledged at once', async (t) => {
    const client = await loggedIn(t, server)
    const record = await ready(client, unique('same'))
    await record.setWithAck({ a: 1 })
    await within('the ack', record.setWithAck({ a: 1 }))
    assert.equal(record.version, 1)
  })

  test('a thousand writes reach another client complete and in order', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('burst')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    const seen = []
    theirs.subscribe('n', (value) => seen.push(value))
    for (let index = 1; index <= 1000; index++) mine.set('n', index)
    await untilVersion(theirs, 1000)
    assert.deepEqual(seen, Array.from({ length: 1000 }, (_, index) => index + 1))
  })

  test('after a discard updates stop, and a new handle sees the newest value', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('discard')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    const seen = calls()
    mine.subscribe(seen)
    const discarded = new Promise((resolve) => mine.on('discard', resolve))
    mine.discard()
    await within('the discard', discarded)
    // Until then the client hands out the handle that it is about to destroy.
    await until('the client has let go of it', () => !one.record.names().includes(name))
    await within('a write', theirs.setWithAck({ after: 'discard' }))
    const again = await ready(one, name)
    await untilData(again, { after: 'discard' })
    assert.deepEqual(seen.seen, [])
  })

  test('discard and get again within the discard timeout keeps the updates flowing', async (t) => {
    const [one, two] = await pair(t, { recordDiscardTimeout: 500 })
    const name = unique('rediscard')
    const [first, theirs] = [await ready(one, name), await ready(two, name)]
    first.discard()
    const again = await ready(one, name)
    theirs.set({ still: 'here' })
    await untilData(again, { still: 'here' })
  })
})

describe('without a subscription', () => {
  test('snapshot, head and has of a missing record', async (t) => {
    const client = await loggedIn(t, server)
    const name = unique('missing')
    await assert.rejects(within('the snapshot', client.record.snapshot(name)), (error) => error === 'RECORD_NOT_FOUND')
    assert.equal(await within('head', client.record.head(name)), -1)
    assert.equal(await within('has', client.record.has(name)), false)
  })

  test('snapshot, head and has of an existing record', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('existing')
    await one.record.setDataWithAck(name, { a: 1 })
    assert.deepEqual(await within('the snapshot', two.record.snapshot(name)), { a: 1 })
    assert.equal(await within('head', two.record.head(name)), 1)
    assert.equal(await within('has', two.record.has(name)), true)
  })

  test('setData creates a record and updates it, twice without an error', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('setdata')
    one.record.setData(name, { a: 1 })
    one.record.setData(name, { a: 2 })
    await within('the ack', one.record.setDataWithAck(name, { a: 3 }))
    const record = await ready(two, name)
    assert.deepEqual(record.get(), { a: 3 })
    assert.equal(record.version, 3)
  })

  test('setData with a path creates and patches, and reaches subscribers', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('setpath')
    await within('the ack', one.record.setDataWithAck(name, 'a.b', 1))
    const record = await ready(two, name)
    assert.deepEqual(record.get(), { a: { b: 1 } })
    one.record.setData(name, 'a.c', 2)
    await untilData(record, { a: { b: 1, c: 2 } })
    one.record.setData(name, { whole: true })
    await untilData(record, { whole: true })
    one.record.setData(name, 'whole', undefined)
    await untilData(record, {})
    assert.equal(record.version, 4)
  })
})

describe('delete', () => {
  test('deletes for everybody, and a new record of the name starts at 0', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('delete')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    await mine.setWithAck({ a: 1 })
    await untilVersion(theirs, 1)
    const deleted = new Promise((resolve) => theirs.on('delete', resolve))
    await within('the deletion', mine.delete())
    await within('the delete event elsewhere', deleted)
    assert.equal(await within('head', two.record.head(name)), -1)
    const again = await ready(two, name)
    assert.deepEqual(again.get(), {})
    assert.equal(again.version, 0)
    again.set({ b: 2 })
    assert.equal(again.version, 1)
  })

  test('a callback form works as well', async (t) => {
    const client = await loggedIn(t, server)
    const record = await ready(client, unique('delcb'))
    assert.equal(await within('the callback', new Promise((resolve) => record.delete(resolve))), null)
  })

  test('delete and create again, fifty times over', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('phoenix')
    for (let round = 0; round < 50; round++) {
      const record = await ready(one, name)
      assert.equal(record.version, 0)
      await within('the ack', record.setWithAck({ round }))
      assert.deepEqual(await within('a snapshot', two.record.snapshot(name)), { round })
      await within('the deletion', record.delete())
    }
  })
})

describe('notify, read-only mode and anonymous records', () => {
  test('notify without a change is acknowledged', async (t) => {
    const [one, two] = await pair(t)
    const name = unique('notify')
    const record = await ready(two, name)
    await record.setWithAck({ a: 1 })
    await within('the notify', one.record.notify([name, unique('nobody')]))
    assert.deepEqual(record.get(), { a: 1 })
  })

  test('a read-only client sees updates, creates nothing, and its set is refused locally', async (t) => {
    const [writer, reader] = [await loggedIn(t, server), await loggedIn(t, server, { recordReadOnlyMode: true })]
    reader.mayFail = true
    const name = unique('readonly')
    const theirs = await ready(reader, name)
    assert.equal(theirs.version, -1)
    assert.deepEqual(theirs.get(), {})
    assert.equal(await within('has', writer.record.has(name)), false)
    await writer.record.setDataWithAck(name, { a: 1 })
    await until('the update is seen', () => theirs.get('a') === 1)
    theirs.set({ no: 'way' })
    assert.deepEqual(reader.errors.map((error) => error.event), ['RECORD_READ_ONLY_MODE'])
  })

  test('a read-only client reads what exists', async (t) => {
    const [writer, reader] = [await loggedIn(t, server), await loggedIn(t, server, { recordReadOnlyMode: true })]
    const name = unique('readexisting')
    await writer.record.setDataWithAck(name, { a: 1 })
    const theirs = await ready(reader, name)
    assert.deepEqual(theirs.get(), { a: 1 })
    assert.equal(theirs.version, 1)
  })

  test('an anonymous record changes its name and keeps its subscriptions', async (t) => {
    const [one, two] = await pair(t)
    const [first, second] = [unique('anon'), unique('anon')]
    await one.record.setDataWithAck(first, { who: 'first' })
    await one.record.setDataWithAck(second, { who: 'second' })
    const anonymous = two.record.getAnonymousRecord()
    const seen = calls()
    anonymous.subscribe('who', seen)
    await within('the first name', anonymous.setName(first))
    await within('the second name', anonymous.setName(second))
    one.record.setData(second, 'who', 'changed')
    one.record.setData(first, 'who', 'unseen')
    await until('the change is seen', () => anonymous.get('who') === 'changed')
    await within('a write through it', anonymous.setWithAck('by', 'anonymous'))
    assert.deepEqual(await within('a snapshot', one.record.snapshot(second)), { who: 'changed', by: 'anonymous' })
    assert.deepEqual(seen.seen, ['first', 'second', 'changed'])
  })
})

describe('many', () => {
  test('500 records in one bulk subscription', async (t) => {
    const [one, two] = await pair(t, { subscriptionInterval: 50, subscriptionTimeout: 10000 })
    const names = Array.from({ length: 500 }, () => unique('bulk'))
    const mine = names.map((name) => one.record.getRecord(name))
    await within('all to be ready', Promise.all(mine.map((record) => record.whenReady())), 20000)
    const theirs = names.map((name) => two.record.getRecord(name))
    await within('all to be ready elsewhere', Promise.all(theirs.map((record) => record.whenReady())), 20000)
    mine.forEach((record, index) => record.set({ index }))
    await until('all updates arrive', () => theirs.every((record, index) => record.get('index') === index), { deadline: 20000 })
    assert.ok(theirs.every((record) => record.version === 1))
  })
})
