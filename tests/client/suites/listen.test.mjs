// Listening: who provides the events and records that others subscribe to, through the official client and on the wire.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isLost, isOpen, loggedIn } from '../helpers/clients.mjs'
import { oldLoggedIn } from '../helpers/old-clients.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { unique, until } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => {
  server = await Server.start({ extra: { listen: { shuffleProviders: false, responseTimeout: 500 } } })
})
after(() => server.discard())

/** Names enough that every shard owns some. */
const names = (prefix) => Array.from({ length: 12 }, (_, number) => `${prefix}/${number}`)

/** Listens and keeps what happens: `found`, `stopped` and the answers to give. */
function listener (client, topic, pattern, answer = 'accept') {
  const seen = { found: [], stopped: [], answer }
  client[topic].listen(pattern, (name, response) => {
    seen.found.push(name)
    if (seen.answer === 'silent') return
    if (seen.answer === 'accept') response.onStop((stopped) => seen.stopped.push(stopped))
    response[seen.answer]()
  })
  return seen
}

function subscriber (client, topic, all) {
  const callback = () => {}
  if (topic === 'event') all.forEach((name) => client.event.subscribe(name, callback))
  const records = topic === 'record' ? all.map((name) => client.record.getRecord(name)) : []
  return {
    records,
    leave: () => {
      if (topic === 'event') all.forEach((name) => client.event.unsubscribe(name, callback))
      records.forEach((record) => record.discard())
    }
  }
}

/** The official client loses a record that it gets while it is still letting it go. */
const letGo = (...clients) => until('the clients have let go of their records', () =>
  clients.every((client) => client.record.names().length === 0))

const sorted = (list) => [...list].sort()
const holds = (list, all) => sorted(list).join() === sorted(all).join()

/** A client of one generation that provides lists: it writes what is wanted, and deletes what is wanted no more. */
const GENERATIONS = {
  async today (t, pattern, seen) {
    const client = await loggedIn(t, server)
    const lists = new Map()
    client.record.listen(pattern, async (name, response) => {
      seen.push(`start ${name}`)
      response.onStop(async () => {
        seen.push(`stop ${name}`)
        await lists.get(name).delete()
        seen.push(`deleted ${name}`)
      })
      response.accept()
      const list = client.record.getList(name)
      lists.set(name, list)
      await list.whenReady()
      list.setEntries(['a', 'b'])
    })
  },
  async before (t, pattern, seen) {
    const client = await oldLoggedIn(t, server)
    const lists = new Map()
    client.record.listen(pattern, (name, wanted, response) => {
      seen.push(`${wanted ? 'start' : 'stop'} ${name}`)
      if (!wanted) {
        const list = lists.get(name)
        list.once('delete', () => seen.push(`deleted ${name}`))
        return list.delete()
      }
      response.accept()
      const list = client.record.getList(name)
      lists.set(name, list)
      list.whenReady(() => list.setEntries(['a', 'b']))
    })
  }
}

for (const [generation, provide] of Object.entries(GENERATIONS)) {
  better(`a provider that subscribes to what it provides hears when nobody else does any more (client of ${generation})`, async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const prefix = unique('list')
    const name = `${prefix}/1`
    const seen = []
    await provide(t, `^${prefix}/.*`, seen)
    const round = [`start ${name}`, `stop ${name}`, `deleted ${name}`]
    for (let times = 1; times <= 3; times++) {
      const lists = [one, two].map((client) => client.record.getList(name))
      await until('the entries are there', () => lists.every((list) => list.getEntries().length === 2))
      lists.forEach((list) => list.discard())
      await until(`round ${times} is over`, () => seen.length >= 3 * times)
      await letGo(one, two)
    }
    // If it were asked to provide a name for itself, that would have happened before this.
    const last = `${prefix}/2`
    one.record.getList(last)
    await until('the last is provided', () => seen.includes(`start ${last}`))
    assert.deepEqual(seen, [...round, ...round, ...round, `start ${last}`])
    assert.equal(await two.record.has(name), false, 'what was deleted stays so')
  })
}

for (const topic of ['event', 'record']) {
  better(`a ${topic} that a listener alone subscribes to is for others to provide`, async (t) => {
    const [first, second, one] = [await loggedIn(t, server), await loggedIn(t, server), await loggedIn(t, server)]
    const prefix = unique('own')
    const all = names(prefix)
    // Subscribed before it listens, and after.
    const own = subscriber(first, topic, all)
    const a = listener(first, topic, `^${prefix}/`)
    const other = subscriber(one, topic, all)
    await until('it is asked although it subscribes too', () => holds(a.found, all))
    other.leave()
    await until('it is stopped although it still subscribes', () => holds(a.stopped, all))
    const b = listener(second, topic, `^${prefix}/`)
    await until('another is asked to provide for it', () => holds(b.found, all))
    own.leave()
    await until('and is stopped', () => holds(b.stopped, all))
    if (topic === 'record') await letGo(first)
    const again = subscriber(first, topic, all)
    await until('also when it comes later', () => b.found.length === 2 * all.length)
    again.leave()
    assert.ok(holds(a.found, all), 'the first was asked for others alone')
  })
}

for (const topic of ['event', 'record']) {
  describe(`listening for ${topic}s`, () => {
    const provided = async (records, state) => {
      if (topic !== 'record') return
      await until(`every record says ${state}`, () => records.every((record) => record.hasProvider === state))
    }

    test('a provider starts with the first subscriber and stops after the last', async (t) => {
      const [provider, one, two] = [await loggedIn(t, server), await loggedIn(t, server), await loggedIn(t, server)]
      const prefix = unique('sub')
      const all = names(prefix)
      const seen = listener(provider, topic, `^${prefix}/.*`)
      const first = subscriber(one, topic, all)
      await until('all are found', () => holds(seen.found, all))
      await provided(first.records, true)
      const second = subscriber(two, topic, all)
      await provided(second.records, true)
      first.leave()
      second.leave()
      await until('all are stopped', () => holds(seen.stopped, all))
      assert.equal(seen.found.length, all.length)
      subscriber(await loggedIn(t, server), topic, all)
      await until('all are found again', () => holds(seen.found, [...all, ...all]))
    })

    test('what was subscribed before is found', async (t) => {
      const [provider, one] = [await loggedIn(t, server), await loggedIn(t, server)]
      const prefix = unique('earlier')
      const all = names(prefix)
      const { records } = subscriber(one, topic, all)
      const seen = listener(provider, topic, `${prefix}/\\d+$`)
      await until('all are found', () => holds(seen.found, all))
      await provided(records, true)
    })

    test('who rejects is followed by the next', async (t) => {
      const [first, second, one] = [await loggedIn(t, server), await loggedIn(t, server), await loggedIn(t, server)]
      const prefix = unique('reject')
      const all = names(prefix)
      const { records } = subscriber(one, topic, all)
      const refuses = listener(first, topic, `^${prefix}/`, 'reject')
      await until('the first is asked', () => holds(refuses.found, all))
      const accepts = listener(second, topic, `^${prefix}/.`)
      await until('the second is asked', () => new Set(accepts.found).size === all.length)
      await provided(records, true)
    })

    test('who stops listening, or goes away, hands over', async (t) => {
      const [first, second, third, one] = await Promise.all(Array.from({ length: 4 }, () => loggedIn(t, server)))
      const prefix = unique('heir')
      const all = names(prefix)
      const pattern = `^${prefix}/`
      const a = listener(first, topic, pattern)
      const { records } = subscriber(one, topic, all)
      await until('the first provides', () => holds(a.found, all))
      await provided(records, true)
      const b = listener(second, topic, pattern)
      first[topic].unlisten(pattern)
      await until('the second provides', () => holds(b.found, all))
      await provided(records, true)
      const c = listener(third, topic, pattern)
      second.close()
      await until('the third provides', () => holds(c.found, all))
      await provided(records, true)
      third[topic].unlisten(pattern)
      await provided(records, false)
    })

    test('a provider that was cut off provides again', async (t) => {
      const proxy = await Proxy.start(t, server)
      const provider = await loggedIn(t, proxy)
      const one = await loggedIn(t, server)
      const prefix = unique('cut')
      const all = names(prefix)
      const seen = listener(provider, topic, `^${prefix}/`)
      const { records } = subscriber(one, topic, all)
      await until('all are found', () => holds(seen.found, all))
      const lost = isLost(provider)
      proxy.cut()
      await lost
      assert.ok(holds(seen.stopped, all))
      await isOpen(provider)
      await until('all are found again', () => holds(seen.found, [...all, ...all]))
      await provided(records, true)
    })

    const [number, words] = topic === 'event' ? [TOPIC.EVENT, EVENT] : [TOPIC.RECORD, RECORD]

    better('acknowledged after what it found, twice with a warning; no pattern is told so', async (t) => {
      const raw = await Raw.login(t, server)
      const other = await Raw.login(t, server)
      const name = unique('raw')
      other.send(number, { action: words.SUBSCRIBE, names: [name], correlationId: '0' })
      await other.next({ action: words.SUBSCRIBE, isAck: true })
      const say = (action, fields) => raw.send(number, { action, ...fields })
      say(words.LISTEN, { name: `^${name}$` })
      const found = { topic: number, action: words.PATTERN_FOUND, name: `^${name}$`, subscription: name }
      assert.deepEqual(await raw.take(), found)
      assert.deepEqual(await raw.take(), { topic: number, action: words.LISTEN, name: `^${name}$`, isAck: true })
      say(words.LISTEN, { name: `^${name}$` })
      const twice = { action: words.MULTIPLE_SUBSCRIPTIONS, name: `^${name}$`, originalAction: words.LISTEN }
      assertFields(await raw.take(), twice)
      assertFields(await raw.take(), { action: words.LISTEN, isAck: true })
      say(words.LISTEN, { name: 'a(' })
      assert.deepEqual(await raw.take(), { topic: number, action: words.INVALID_LISTEN_REGEX, name: 'a(' })
      // The first question is not answered: its time passes, and a late answer is stopped.
      assert.deepEqual(await raw.take(), { topic: number, action: words.LISTEN_RESPONSE_TIMEOUT, subscription: name })
      say(words.LISTEN_ACCEPT, { name: `^${name}$`, subscription: name })
      assert.deepEqual(await raw.take(), { ...found, action: words.PATTERN_REMOVED })
      say(words.UNLISTEN, { name: `^${name}$` })
      assert.deepEqual(await raw.take(), { topic: number, action: words.UNLISTEN, name: `^${name}$`, isAck: true })
    })
  })
}
