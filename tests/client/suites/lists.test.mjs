// Lists: records whose value is an array of names, with events for what came, went and moved.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { calls, loggedIn, readyList } from '../helpers/clients.mjs'
import { Server } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'

let server
before(async () => { server = await Server.start() })
after(() => server.discard())

async function pair (t) {
  const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
  const name = unique('list')
  return [await readyList(one, name), await readyList(two, name)]
}

const entries = (list, expected) => until(`the entries are ${expected}`, () => JSON.stringify(list.getEntries()) === JSON.stringify(expected))

test('a new list is empty, and setting entries reaches the other client', async (t) => {
  const [mine, theirs] = await pair(t)
  assert.deepEqual(mine.getEntries(), [])
  assert.equal(mine.isEmpty(), true)
  mine.setEntries(['a', 'b', 'c'])
  await entries(theirs, ['a', 'b', 'c'])
  assert.equal(theirs.isEmpty(), false)
  await within('the ack', mine.setEntriesWithAck([]))
  await entries(theirs, [])
})

test('entries are added at the end and at an index, and removed by name and by index', async (t) => {
  const [mine, theirs] = await pair(t)
  mine.setEntries(['a', 'b'])
  mine.addEntry('c')
  await entries(theirs, ['a', 'b', 'c'])
  theirs.addEntry('x', 1)
  await entries(mine, ['a', 'x', 'b', 'c'])
  mine.addEntry('a')
  await entries(theirs, ['a', 'x', 'b', 'c', 'a'])
  mine.removeEntry('a', 4)
  await entries(theirs, ['a', 'x', 'b', 'c'])
  theirs.removeEntry('x')
  await entries(mine, ['a', 'b', 'c'])
})

test('entry-added, entry-removed and entry-moved fire on both clients', async (t) => {
  const [mine, theirs] = await pair(t)
  await within('the ack', mine.setEntriesWithAck(['a', 'b', 'c']))
  await entries(theirs, ['a', 'b', 'c'])
  const seen = [mine, theirs].map((list) => {
    const happened = []
    for (const event of ['entry-added', 'entry-removed', 'entry-moved']) list.on(event, (entry, index) => happened.push([event, entry, index]))
    return happened
  })
  mine.addEntry('d')
  await entries(theirs, ['a', 'b', 'c', 'd'])
  theirs.removeEntry('d')
  await entries(mine, ['a', 'b', 'c'])
  mine.setEntries(['b', 'a', 'c'])
  await entries(theirs, ['b', 'a', 'c'])
  for (const happened of seen) {
    assert.deepEqual(happened.slice(0, 2), [['entry-added', 'd', 3], ['entry-removed', 'd', 3]])
    assert.deepEqual(happened.slice(2).sort(), [['entry-moved', 'a', 1], ['entry-moved', 'b', 0]])
  }
})

test('subscribers of a list get the entries, and the stored value is a plain array', async (t) => {
  const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
  const name = unique('list')
  const [mine, theirs] = [await readyList(one, name), await readyList(two, name)]
  const seen = calls()
  theirs.subscribe(seen)
  mine.setEntries(['a'])
  mine.addEntry('b')
  await entries(theirs, ['a', 'b'])
  assert.deepEqual(seen.seen, [['a'], ['a', 'b']])
  const three = await loggedIn(t, server)
  assert.deepEqual(await within('a snapshot', three.record.snapshot(name)), ['a', 'b'])
})

test('a list of a thousand entries arrives whole', async (t) => {
  const [mine, theirs] = await pair(t)
  const many = Array.from({ length: 1000 }, (_, index) => `entry/${index}`)
  mine.setEntries(many)
  await entries(theirs, many)
})

test('a list is deleted for everybody', async (t) => {
  const [mine, theirs] = await pair(t)
  const gone = new Promise((resolve) => theirs.on('delete', resolve))
  mine.setEntries(['a'])
  await entries(theirs, ['a'])
  await within('the deletion', mine.delete())
  await within('the delete event', gone)
})

test('a dequeue keeps its order for both clients', async (t) => {
  const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
  const name = unique('dq')
  const [mine, theirs] = [one.record.getDq(name), two.record.getDq(name)]
  await within('both to be ready', Promise.all([mine.whenReady(), theirs.whenReady()]))
  const settle = (expected) => until(`the queue is ${expected}`, () => JSON.stringify(theirs.getEntries()) === JSON.stringify(expected))
  await within('the ack', mine.setEntriesWithAck(['b', 'c']))
  await settle(['b', 'c'])
})
