// Listening: who provides the events and records that others subscribe to, through the official client and on the wire.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isLost, isOpen, loggedIn } from './clients.mjs'
import { Proxy } from './proxy.mjs'
import { Raw, assertFields } from './raw.mjs'
import { REFERENCE, Server } from './server.mjs'
import { unique, until } from './until.mjs'
import { EVENT, RECORD, TOPIC } from './wire.mjs'

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

const sorted = (list) => [...list].sort()
const holds = (list, all) => sorted(list).join() === sorted(all).join()

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
