// Publish and subscribe: through the official client, and field by field on the wire.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { calls, loggedIn, subscribed } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { until, unique } from '../helpers/until.mjs'
import { EVENT, TOPIC, encode } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

/** A raw connection subscribed to the names, its ack taken. */
async function subscriber (t, ...names) {
  const raw = await Raw.login(t, server)
  raw.event(EVENT.SUBSCRIBE, { names, correlationId: '0' })
  assert.deepEqual(await raw.take(), { topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE, correlationId: '0', isAck: true })
  return raw
}

describe('the official client', () => {
  test('one client subscribes, another emits an object', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('something-happened')
    const seen = calls()
    await subscribed(one, name, seen, two)
    two.event.emit(name, { what: 'it', where: { x: 1, y: [2, 3] } })
    await until('the event arrives', () => seen.seen.length === 1)
    assert.deepEqual(seen.seen, [{ what: 'it', where: { x: 1, y: [2, 3] } }])
  })

  test('payloads of every kind arrive as they were sent', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('kinds')
    const seen = []
    await subscribed(one, name, (data) => seen.push(data), two)
    const kinds = [undefined, null, true, false, 0, -1.5, 1e300, '', 'text', 'ünïcödé 🚀 \u2028', [], [1, [2]], {}, { a: { b: null } }]
    for (const kind of kinds) two.event.emit(name, kind)
    await until('all arrive', () => seen.length === kinds.length)
    assert.deepEqual(seen, kinds)
  })

  test('a thousand events of one publisher arrive complete and in order', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('order')
    const seen = []
    await subscribed(one, name, (data) => seen.push(data), two)
    for (let index = 0; index < 1000; index++) two.event.emit(name, index)
    await until('all arrive', () => seen.length >= 1000)
    assert.deepEqual(seen, Array.from({ length: 1000 }, (_, index) => index))
  })

  test('the emitter hears its own event once, from its own library', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('own')
    const mine = calls()
    await subscribed(one, name, mine, two)
    one.event.emit(name, 'own')
    two.event.emit(name, 'other')
    await until('both are heard', () => mine.seen.length === 2)
    assert.deepEqual(mine.seen, ['own', 'other'])
  })

  test('after unsubscribe nothing arrives any more', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const [name, marker] = [unique('left'), unique('marker')]
    const [seen, marked] = [calls(), calls()]
    const callback = await subscribed(one, name, seen, two)
    one.event.unsubscribe(name, callback)
    // Subscribing again proves that the server has handled the unsubscribe before it.
    await subscribed(one, marker, marked, two)
    two.event.emit(name, 'too late')
    const again = calls()
    await subscribed(one, name, again, two)
    two.event.emit(name, 'again')
    await until('the new subscription works', () => again.seen.includes('again'))
    assert.deepEqual(seen.seen, [])
  })

  test('one event fans out to twenty clients, each exactly once', async (t) => {
    const publisher = await loggedIn(t, server)
    const name = unique('fan')
    const clients = await Promise.all(Array.from({ length: 20 }, () => loggedIn(t, server)))
    const seen = clients.map(() => [])
    await Promise.all(clients.map((client, index) => subscribed(client, name, (data) => seen[index].push(data), publisher)))
    for (let index = 0; index < 50; index++) publisher.event.emit(name, index)
    await until('all have all', () => seen.every((list) => list.length >= 50))
    for (const list of seen) assert.deepEqual(list, Array.from({ length: 50 }, (_, index) => index))
  })

  test('a client subscribed to 300 events hears each of them', async (t) => {
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const names = Array.from({ length: 300 }, () => unique('many'))
    const seen = new Map()
    await Promise.all(names.map((name) => subscribed(one, name, (data) => seen.set(name, data), two)))
    names.forEach((name, index) => two.event.emit(name, index))
    await until('all arrive', () => seen.size === 300)
    names.forEach((name, index) => assert.equal(seen.get(name), index))
  })
})

describe('on the wire', () => {
  test('an event is forwarded with its name and data and nothing else', async (t) => {
    const name = unique('plain')
    const [one, two] = [await subscriber(t, name), await Raw.login(t, server)]
    two.event(EVENT.EMIT, { data: '{"a": 1}', name })
    assert.deepEqual(await one.take(), { topic: TOPIC.EVENT, action: EVENT.EMIT, data: '{"a": 1}', name })
    two.event(EVENT.EMIT, { name })
    assert.deepEqual(await one.take(), { topic: TOPIC.EVENT, action: EVENT.EMIT, name })
  })

  test('the frame has exactly the bytes upstream sends', async (t) => {
    const [one, two] = [await subscriber(t, 'e'), await Raw.login(t, server)]
    two.event(EVENT.EMIT, { data: '1', name: 'e' })
    await one.take()
    assert.equal(one.frames.at(-1).toString('hex'), '0c10041a080802120131320165')
  })

  test('an emitter that is subscribed gets nothing from the server', async (t) => {
    const name = unique('self')
    const [one, two] = [await subscriber(t, name), await subscriber(t, name)]
    one.event(EVENT.EMIT, { name, data: '1' })
    assertFields(await two.take(), { name, data: '1' })
    two.event(EVENT.EMIT, { name, data: '2' })
    assertFields(await one.take(), { name, data: '2' })
  })

  test('a duplicate subscription is reported and acknowledged, and delivers once', async (t) => {
    const name = unique('twice')
    const [one, two] = [await subscriber(t, name), await Raw.login(t, server)]
    one.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '5' })
    assertFields(await one.take(), { topic: TOPIC.EVENT, action: EVENT.MULTIPLE_SUBSCRIPTIONS, name, originalAction: EVENT.SUBSCRIBE })
    assert.deepEqual(await one.take(), { topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE, correlationId: '5', isAck: true })
    two.event(EVENT.EMIT, { name, data: '1' })
    two.event(EVENT.EMIT, { name, data: '2' })
    assertFields(await one.take(), { data: '1' })
    assertFields(await one.take(), { data: '2' })
  })

  test('a name given twice in one request is reported once and acknowledged once', async (t) => {
    const raw = await Raw.login(t, server)
    const name = unique('double')
    raw.event(EVENT.SUBSCRIBE, { names: [name, name], correlationId: '1' })
    assertFields(await raw.take(), { action: EVENT.MULTIPLE_SUBSCRIPTIONS, name })
    assertFields(await raw.take(), { action: EVENT.SUBSCRIBE, correlationId: '1', isAck: true })
  })

  test('a bulk subscription over all cores has one ack, and every name delivers', async (t) => {
    const names = Array.from({ length: 500 }, () => unique('bulk'))
    const [one, two] = [await subscriber(t, ...names), await Raw.login(t, server)]
    names.forEach((name, index) => two.event(EVENT.EMIT, { name, data: String(index) }))
    const seen = new Map()
    for (const _ of names) {
      const message = await one.take()
      assert.equal(message.action, EVENT.EMIT)
      seen.set(message.name, message.data)
    }
    names.forEach((name, index) => assert.equal(seen.get(name), String(index)))
  })

  test('unsubscribing what was never subscribed is acknowledged only', async (t) => {
    const raw = await Raw.login(t, server)
    raw.event(EVENT.UNSUBSCRIBE, { names: [unique('never')], correlationId: '9' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.EVENT, action: EVENT.UNSUBSCRIBE, correlationId: '9', isAck: true })
  })

  test('empty names are acknowledged only', async (t) => {
    const raw = await Raw.login(t, server)
    for (const action of [EVENT.SUBSCRIBE, EVENT.UNSUBSCRIBE]) {
      raw.event(action, { names: [], correlationId: '3' })
      assert.deepEqual(await raw.take(), { topic: TOPIC.EVENT, action, correlationId: '3', isAck: true })
    }
  })

  test('a subscription without correlation id is acknowledged without one', async (t) => {
    const raw = await Raw.login(t, server)
    raw.event(EVENT.SUBSCRIBE, { names: [unique('bare')] })
    assert.deepEqual(await raw.take(), { topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE, isAck: true })
  })

  test('a subscription of a connection that left is gone, the others stay', async (t) => {
    const name = unique('gone')
    const [one, two, three] = [await subscriber(t, name), await subscriber(t, name), await Raw.login(t, server)]
    await one.close()
    three.event(EVENT.EMIT, { name, data: '"still"' })
    assertFields(await two.take(), { data: '"still"' })
  })

  test('an emit nobody listens to is silent', async (t) => {
    const raw = await Raw.login(t, server)
    const name = unique('deaf')
    raw.event(EVENT.EMIT, { name, data: '1' })
    raw.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '1' })
    assertFields(await raw.take(), { action: EVENT.SUBSCRIBE, isAck: true })
  })

  for (const [what, data] of [['broken JSON', '{"a":'], ['empty data', ''], ['two values', '1 2']]) {
    better(`${what} is refused and reaches no subscriber`, async (t) => {
      const name = unique('poison')
      const [one, two] = [await subscriber(t, name), await Raw.login(t, server)]
      two.event(EVENT.EMIT, { data, name })
      assertFields(await two.take(), { topic: TOPIC.EVENT, action: EVENT.INVALID_MESSAGE_DATA, originalAction: EVENT.EMIT, name, isError: true })
      two.event(EVENT.EMIT, { data: '"fine"', name })
      assertFields(await one.take(), { action: EVENT.EMIT, data: '"fine"' })
    })
  }

  better('bad UTF-8 is answered with an error and reaches no subscriber', async (t) => {
    const name = unique('utf8')
    const [one, two] = [await subscriber(t, name), await Raw.login(t, server)]
    two.event(EVENT.EMIT, { data: Buffer.from([0x22, 0xc3, 0x28, 0x22]), name })
    const answer = await two.take()
    assert.ok(answer.topic === TOPIC.PARSER || answer.action === EVENT.INVALID_MESSAGE_DATA, JSON.stringify(answer))
    two.event(EVENT.EMIT, { data: '"fine"', name })
    assertFields(await one.take(), { action: EVENT.EMIT, data: '"fine"' })
  })

  better('an emit without a name is refused', async (t) => {
    const raw = await Raw.login(t, server)
    raw.event(EVENT.EMIT, { data: '1' })
    assertFields(await raw.take(), { topic: TOPIC.EVENT, action: EVENT.INVALID_MESSAGE_DATA, isError: true })
  })

  better('many emits in one frame all arrive, in order', async (t) => {
    const name = unique('glued')
    const [one, two] = [await subscriber(t, name), await Raw.login(t, server)]
    two.bytes(Buffer.concat(Array.from({ length: 200 }, (_, index) => encode(TOPIC.EVENT, { action: EVENT.EMIT, name, data: String(index) }))))
    for (let index = 0; index < 200; index++) assert.equal((await one.take()).data, String(index))
  })

  test('unknown actions of a known topic are silent', async (t) => {
    const raw = await Raw.login(t, server)
    for (const action of [1, 99, 150]) raw.event(action, { name: 'x' })
    assert.deepEqual(await raw.untilPong(), [])
  })

  test('an event of 900 kB arrives whole', async (t) => {
    const name = unique('large')
    const [one, two] = [await subscriber(t, name), await Raw.login(t, server)]
    const data = JSON.stringify('x'.repeat(900_000))
    two.event(EVENT.EMIT, { data, name })
    assert.equal((await one.take()).data, data)
  })
})
