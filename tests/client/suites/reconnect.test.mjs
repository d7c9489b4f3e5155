// What a client keeps when its connection or the whole server goes away and comes back.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { calls, clientFor, isLost, isOpen, loggedIn, ready, readyList, subscribed, untilData } from '../helpers/clients.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, serverFor } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test

describe('a cut line', () => {
  test('events and records are subscribed again and nothing is doubled', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const [one, two] = [await loggedIn(t, proxy), await loggedIn(t, server)]
    one.mayFail = true
    const [event, name] = [unique('event'), unique('record')]
    const seen = calls()
    await subscribed(one, event, seen, two)
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    for (let round = 1; round <= 3; round++) {
      proxy.lock()
      await isLost(one)
      await within('a write meanwhile', theirs.setWithAck({ round }))
      proxy.unlock()
      await isOpen(one)
      await untilData(mine, { round })
      await until('the event arrives again', () => {
        if (!seen.seen.includes(`probe ${round}`)) two.event.emit(event, `probe ${round}`)
        return seen.seen.includes(`probe ${round}`)
      }, { every: 20 })
      two.event.emit(event, `once ${round}`)
      await until('the single event arrives', () => seen.seen.includes(`once ${round}`))
      assert.equal(seen.seen.filter((entry) => entry === `once ${round}`).length, 1)
      theirs.set('live', round)
      await untilData(mine, { round, live: round })
    }
  })

  test('a set while offline: the remote value wins by default', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const [one, two] = [await loggedIn(t, proxy), await loggedIn(t, server)]
    one.mayFail = true
    const name = unique('offline')
    const [mine, theirs] = [await ready(one, name), await ready(two, name)]
    proxy.lock()
    await isLost(one)
    mine.set({ by: 'offline' })
    await within('a write', theirs.setWithAck({ by: 'online' }))
    await within('another', theirs.setWithAck({ by: 'online again' }))
    proxy.unlock()
    await isOpen(one)
    await untilData(mine, { by: 'online again' })
    assert.deepEqual(theirs.get(), { by: 'online again' })
  })

  test('emits, snapshots and heads asked for while the line is down are answered after it is up', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const [one, two] = [await loggedIn(t, proxy), await loggedIn(t, server)]
    one.mayFail = true
    const [event, name] = [unique('queued'), unique('queued')]
    const seen = calls()
    await subscribed(two, event, seen, one)
    await two.record.setDataWithAck(name, { a: 1 })
    proxy.lock()
    await isLost(one)
    one.event.emit(event, 'first')
    one.event.emit(event, 'second')
    const [snapshot, head] = [one.record.snapshot(name), one.record.head(name)]
    proxy.unlock()
    await isOpen(one)
    assert.deepEqual(await within('the snapshot', snapshot), { a: 1 })
    assert.equal(await within('the head', head), 1)
    await until('both events arrive', () => seen.seen.length === 2)
    assert.deepEqual(seen.seen, ['first', 'second'])
  })

  test('pending write acks fail when the line is cut', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const one = await loggedIn(t, proxy)
    one.mayFail = true
    const mine = await ready(one, unique('pending'))
    proxy.hold()
    const ack = mine.setWithAck({ a: 1 })
    proxy.cut()
    proxy.release()
    await assert.rejects(within('the refusal', ack), (error) => error === 'client offline')
    await isOpen(one)
  })

  test('a record opened while offline is created on the server later', async (t) => {
    const server = await serverFor(t)
    const proxy = await Proxy.start(t, server)
    const [one, two] = [await loggedIn(t, proxy), await loggedIn(t, server)]
    one.mayFail = true
    const name = unique('born-offline')
    proxy.lock()
    await isLost(one)
    const mine = one.record.getRecord(name)
    mine.set({ born: 'offline' })
    proxy.unlock()
    await isOpen(one)
    await until('it exists', async () => await two.record.has(name), { every: 20 })
    const theirs = await ready(two, name)
    await untilData(theirs, { born: 'offline' })
  })
})

describe('a restart of the server on the same data', () => {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    better(`after ${signal} clients come back by themselves to what they had`, async (t) => {
      const server = await serverFor(t)
      const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
      one.mayFail = two.mayFail = true
      const [event, name, list] = [unique('event'), unique('record'), unique('list')]
      const seen = calls()
      await subscribed(one, event, seen, two)
      const [mine, theirs] = [await ready(one, name), await ready(two, name)]
      const entries = await readyList(one, list)
      await within('a write', mine.setWithAck({ before: 1 }))
      await within('a list write', entries.setEntriesWithAck(['a', 'b']))

      const exit = await server.end(signal)
      if (signal === 'SIGTERM') assert.deepEqual(exit, { code: 0, signal: null })
      await isLost(one)
      await isLost(two)
      await server.launch()
      await isOpen(one)
      await isOpen(two)

      const fresh = await loggedIn(t, server)
      assert.deepEqual(await within('a snapshot', fresh.record.snapshot(name)), { before: 1 })
      assert.equal(await within('the version', fresh.record.head(name)), 1)
      assert.deepEqual(await within('the list', fresh.record.snapshot(list)), ['a', 'b'])
      await until('the event works again', () => {
        if (!seen.seen.includes('again')) two.event.emit(event, 'again')
        return seen.seen.includes('again')
      }, { every: 20 })
      await until('both handles are ready', () => mine.record.recordState === 'READY' && theirs.record.recordState === 'READY')
      await within('a write after it', theirs.setWithAck('after', 2))
      await untilData(mine, { before: 1, after: 2 })
    })
  }

  better('300 records written without pause are all there after a SIGTERM', async (t) => {
    const server = await serverFor(t)
    const raw = await Raw.login(t, server)
    const names = Array.from({ length: 300 }, () => unique('drained'))
    names.forEach((name, index) => raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: `{"n":${index}}` }))
    for (const name of names) {
      raw.record(RECORD.HEAD, { name })
      assertFields(await raw.next({ name }), { action: RECORD.HEAD_RESPONSE, version: 1 })
    }
    assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null })
    await server.launch()
    const again = await Raw.login(t, server)
    for (const [index, name] of names.entries()) {
      again.record(RECORD.READ, { name })
      assertFields(await again.next({ name }), { action: RECORD.READ_RESPONSE, version: 1, data: `{"n":${index}}` })
    }
  })

  better('after a restart another shard count serves the same data', async (t) => {
    const server = await serverFor(t, { shards: 3 })
    const raw = await Raw.login(t, server)
    const names = Array.from({ length: 50 }, () => unique('resharded'))
    for (const name of names) {
      raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"kept":1}', isWriteAck: true, correlationId: name })
      await raw.next({ correlationId: name })
    }
    await server.end('SIGTERM')
    const other = await serverFor(t, { shards: 2, data: server.data })
    const again = await Raw.login(t, other)
    for (const name of names) {
      again.record(RECORD.READ, { name })
      assertFields(await again.next({ name }), { action: RECORD.READ_RESPONSE, version: 1, data: '{"kept":1}' })
    }
  })
})

test('a client that asked to log in while nobody listened is logged in once the server is up', { skip: REFERENCE }, async (t) => {
  const server = await serverFor(t)
  await server.end('SIGTERM')
  const client = clientFor(t, server)
  client.mayFail = true
  const login = client.login()
  await server.launch()
  await within('login', login)
})
