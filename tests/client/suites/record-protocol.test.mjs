// Records on the wire: which messages answer which, and with exactly which fields.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { until, unique } from '../helpers/until.mjs'
import { PARSER, RECORD, TOPIC, encode } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const login = (t, options) => Raw.login(t, server, options)

/** Subscribes through getRecord's message and answers the READ_RESPONSE. */
async function open (raw, name) {
  raw.record(RECORD.SUBSCRIBECREATEANDREAD, { names: [name], correlationId: '0' })
  const answers = [await raw.take(), await raw.take()]
  assert.ok(answers.some((answer) => answer.isAck), JSON.stringify(answers))
  return answers.find((answer) => answer.action === RECORD.READ_RESPONSE)
}

/** Writes with an ack and waits for it. */
async function write (raw, action, fields) {
  const correlationId = unique('w')
  raw.record(action, { isWriteAck: true, correlationId, ...fields })
  const answer = await raw.next({ topic: TOPIC.RECORD, correlationId })
  assert.equal(answer.action, RECORD.WRITE_ACKNOWLEDGEMENT, JSON.stringify(answer))
}

async function stored (raw, name) {
  raw.record(RECORD.READ, { name })
  const answer = await raw.next({ topic: TOPIC.RECORD, name })
  return answer.action === RECORD.READ_RESPONSE ? { version: answer.version, data: JSON.parse(answer.data) } : null
}

describe('subscribing and reading', () => {
  test('golden frames: HEAD of a missing and READ of a new record', async (t) => {
    const raw = await login(t)
    raw.record(RECORD.HEAD, { name: 'r' })
    await raw.take()
    assert.equal(raw.frames.at(-1).toString('hex'), '1410051a10080632017268ffffffffffffffffff01')
    await open(raw, 'r')
    raw.record(RECORD.READ, { name: 'r' })
    await raw.take()
    assert.equal(raw.frames.at(-1).toString('hex'), '0f10051a0b080412027b7d3201726800')
  })

  test('SUBSCRIBECREATEANDREAD: the ack echoes the request, every name is read', async (t) => {
    const raw = await login(t)
    const names = Array.from({ length: 20 }, () => unique('scr'))
    raw.record(RECORD.SUBSCRIBECREATEANDREAD, { names, correlationId: '7' })
    const answers = []
    while (answers.length < 21) answers.push(await raw.take())
    assert.deepEqual(answers.filter((answer) => answer.isAck), [{ topic: TOPIC.RECORD, action: RECORD.SUBSCRIBECREATEANDREAD, correlationId: '7', isAck: true, names }])
    const read = answers.filter((answer) => !answer.isAck).sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name))
    assert.deepEqual(read, names.map((name) => ({ topic: TOPIC.RECORD, action: RECORD.READ_RESPONSE, name, version: 0, data: '{}' })))
  })

  test('SUBSCRIBEANDREAD of a missing record answers version -1, creates nothing, and subscribes', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('sr')
    one.record(RECORD.SUBSCRIBEANDREAD, { names: [name], correlationId: '1' })
    assertFields(await one.next({ action: RECORD.READ_RESPONSE }), { name, version: -1, data: '{}' })
    two.record(RECORD.HEAD, { name })
    assert.deepEqual(await two.take(), { topic: TOPIC.RECORD, action: RECORD.HEAD_RESPONSE, name, version: -1 })
    await write(two, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}' })
    assertFields(await one.next({ action: RECORD.UPDATE }), { name, version: 1, data: '{"a":1}' })
  })

  test('SUBSCRIBE and UNSUBSCRIBE are acknowledged without names, and updates follow them', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('s')
    one.record(RECORD.SUBSCRIBE, { names: [name], correlationId: '1' })
    assert.deepEqual(await one.take(), { topic: TOPIC.RECORD, action: RECORD.SUBSCRIBE, correlationId: '1', isAck: true })
    await write(two, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}' })
    assertFields(await one.take(), { action: RECORD.UPDATE, name, version: 1 })
    one.record(RECORD.UNSUBSCRIBE, { names: [name], correlationId: name })
    assert.deepEqual(await one.take(), { topic: TOPIC.RECORD, action: RECORD.UNSUBSCRIBE, correlationId: name, isAck: true })
    await write(two, RECORD.UPDATE, { name, version: 2, data: '{"a":2}' })
    assert.deepEqual(await stored(one, name), { version: 2, data: { a: 2 } })
    assert.deepEqual(one.passed, [])
  })

  test('a second subscription is reported as SUBSCRIBE, and the READ_RESPONSE and the ack still follow', async (t) => {
    const raw = await login(t)
    const name = unique('again')
    await open(raw, name)
    raw.record(RECORD.SUBSCRIBECREATEANDREAD, { names: [name], correlationId: '1' })
    const answers = [await raw.take(), await raw.take(), await raw.take()]
    assertFields(answers.find((answer) => answer.action === RECORD.MULTIPLE_SUBSCRIPTIONS), { name, originalAction: RECORD.SUBSCRIBE })
    assertFields(answers.find((answer) => answer.action === RECORD.READ_RESPONSE), { name, version: 0, data: '{}' })
    assertFields(answers.find((answer) => answer.isAck), { names: [name], correlationId: '1' })
  })

  test('SUBSCRIBEANDHEAD answers every version, present or missing, and subscribes to all', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const names = Array.from({ length: 30 }, () => unique('sh'))
    for (const name of names.slice(0, 10)) await write(two, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{}' })
    one.record(RECORD.SUBSCRIBEANDHEAD, { names, correlationId: '4' })
    const versions = {}
    let acks = 0
    await until('all versions and the ack', async () => {
      const message = await one.take()
      if (message.isAck) {
        assertFields(message, { action: RECORD.SUBSCRIBEANDHEAD, correlationId: '4' })
        acks += 1
      } else if (message.action === RECORD.HEAD_RESPONSE_BULK) Object.assign(versions, message.versions)
      else versions[message.name] = message.version
      return acks === 1 && Object.keys(versions).length === names.length
    })
    names.forEach((name, index) => assert.equal(versions[name], index < 10 ? 1 : -1, name))
    for (const name of names) await write(two, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}' })
    const seen = new Set()
    while (seen.size < names.length) seen.add((await one.next({ action: RECORD.UPDATE })).name)
  })

  test('READ of a missing record is RECORD_NOT_FOUND with its original action', async (t) => {
    const raw = await login(t)
    const name = unique('nothing')
    raw.record(RECORD.READ, { name })
    assert.deepEqual(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.RECORD_NOT_FOUND, name, isError: true, originalAction: RECORD.READ })
  })

  better('one connection sees the effect of its own messages in order', async (t) => {
    const raw = await login(t)
    const name = unique('fifo')
    raw.record(RECORD.HEAD, { name })
    raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"n":1}' })
    raw.record(RECORD.READ, { name })
    raw.record(RECORD.UPDATE, { name, version: 2, data: '{"n":2}' })
    raw.record(RECORD.READ, { name })
    raw.record(RECORD.DELETE, { name })
    raw.record(RECORD.HEAD, { name })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, version: -1 })
    assertFields(await raw.take(), { action: RECORD.READ_RESPONSE, version: 1, data: '{"n":1}' })
    assertFields(await raw.take(), { action: RECORD.READ_RESPONSE, version: 2, data: '{"n":2}' })
    assertFields(await raw.take(), { action: RECORD.DELETE_SUCCESS, name })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, version: -1 })
  })
})

describe('writing', () => {
  test('others get the new version without ack fields, the writer gets nothing', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('write')
    await open(one, name)
    await open(two, name)
    one.record(RECORD.UPDATE, { name, version: 1, data: '{"a":{"b":1}}', isWriteAck: true, correlationId: '1' })
    one.record(RECORD.PATCH, { name, version: 2, path: 'a.c', data: '2' })
    one.record(RECORD.ERASE, { name, version: 3, path: 'a.b' })
    const seen = [await two.take(), await two.take(), await two.take()].map(({ isWriteAck, ...rest }) => {
      assert.ok(!isWriteAck)
      return rest
    })
    assert.deepEqual(seen, [
      { topic: TOPIC.RECORD, action: RECORD.UPDATE, name, version: 1, data: '{"a":{"b":1}}' },
      { topic: TOPIC.RECORD, action: RECORD.PATCH, name, version: 2, path: 'a.c', data: '2' },
      { topic: TOPIC.RECORD, action: RECORD.PATCH, name, version: 3, path: 'a.b' }
    ])
    assert.deepEqual(await one.take(), { topic: TOPIC.RECORD, action: RECORD.WRITE_ACKNOWLEDGEMENT, name, correlationId: '1', isWriteAck: true })
    assert.deepEqual(await stored(one, name), { version: 3, data: { a: { c: 2 } } })
    assert.deepEqual(one.passed, [])
  })

  test('a version of -1 takes whatever version is next', async (t) => {
    const raw = await login(t)
    const name = unique('force')
    await write(raw, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}' })
    await write(raw, RECORD.CREATEANDPATCH, { name, version: -1, path: 'b', data: '2' })
    await write(raw, RECORD.UPDATE, { name, version: -1, data: '{"c":3}' })
    await write(raw, RECORD.ERASE, { name, version: -1, path: 'c' })
    assert.deepEqual(await stored(raw, name), { version: 4, data: {} })
  })

  test('CREATEANDUPDATE of a missing record takes version 1 but not 5', async (t) => {
    const raw = await login(t)
    const [one, five] = [unique('one'), unique('five')]
    await write(raw, RECORD.CREATEANDUPDATE, { name: one, version: 1, data: '{"a":1}' })
    assert.deepEqual(await stored(raw, one), { version: 1, data: { a: 1 } })
    raw.record(RECORD.CREATEANDUPDATE, { name: five, version: 5, data: '{}', isWriteAck: true, correlationId: '5' })
    if (!REFERENCE) assertFields(await raw.take(), { action: RECORD.VERSION_EXISTS, name: five, version: 0, data: '{}', isWriteAck: undefined, correlationId: '5', originalAction: RECORD.UPDATE })
    assertFields(await raw.take(), { action: RECORD.INVALID_VERSION, name: five, version: 0, isWriteAck: true, correlationId: '5', originalAction: RECORD.UPDATE })
    assert.equal(await stored(raw, five), null)
  })

  test('a plain write to a missing record is RECORD_UPDATE_ERROR', async (t) => {
    const raw = await login(t)
    for (const [action, fields] of [[RECORD.UPDATE, { data: '{}' }], [RECORD.PATCH, { path: 'a', data: '1' }], [RECORD.ERASE, { path: 'a' }]]) {
      const name = unique('absent')
      raw.record(action, { name, version: 1, ...fields })
      assertFields(await raw.take(), { action: RECORD.RECORD_UPDATE_ERROR, name, isError: true })
      assert.equal(await stored(raw, name), null)
    }
  })

  test('an array is a record as good as an object', async (t) => {
    const raw = await login(t)
    const name = unique('array')
    await write(raw, RECORD.CREATEANDUPDATE, { name, version: -1, data: '["a","b"]' })
    assert.deepEqual(await stored(raw, name), { version: 1, data: ['a', 'b'] })
    await write(raw, RECORD.PATCH, { name, version: 2, path: '1', data: '"c"' })
    assert.deepEqual(await stored(raw, name), { version: 2, data: ['a', 'c'] })
  })

  test('an UPDATE equal to the current data still bumps the version and is broadcast', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('equal')
    await open(two, name)
    await write(one, RECORD.UPDATE, { name, version: 1, data: '{}' })
    await write(one, RECORD.UPDATE, { name, version: 2, data: '{}' })
    assertFields(await two.take(), { action: RECORD.UPDATE, version: 1 })
    assertFields(await two.take(), { action: RECORD.UPDATE, version: 2 })
  })

  for (const [what, data] of [['null', 'null'], ['a string', '"x"'], ['a number', '3'], ['nothing', undefined]]) {
    test(`an UPDATE with ${what} is INVALID_MESSAGE_DATA, the request echoed`, async (t) => {
      const raw = await login(t)
      const name = unique('scalar')
      await open(raw, name)
      raw.record(RECORD.UPDATE, { name, version: 1, data, isWriteAck: true, correlationId: '3' })
      const answer = await raw.take()
      assertFields(answer, { action: RECORD.INVALID_MESSAGE_DATA, name, originalAction: RECORD.UPDATE, isWriteAck: true, correlationId: '3' })
      if (!REFERENCE) assert.equal(answer.isError, true)
      assert.deepEqual(await stored(raw, name), { version: 0, data: {} })
    })
  }

  for (const [what, data] of [['broken JSON', '{"a":'], ['empty data', '']]) {
    for (const [action, path] of [[RECORD.UPDATE], [RECORD.PATCH, 'a'], [RECORD.CREATEANDUPDATE], [RECORD.PATCH_MULTI]]) {
      better(`action ${action} with ${what} is INVALID_MESSAGE_DATA and reaches nobody`, async (t) => {
        const [one, two] = [await login(t), await login(t)]
        const name = unique('broken')
        await open(two, name)
        one.record(action, { name, version: 1, path, data, isWriteAck: true, correlationId: '3' })
        assertFields(await one.take(), { topic: TOPIC.RECORD, action: RECORD.INVALID_MESSAGE_DATA, isError: true, isWriteAck: true, correlationId: '3' })
        await write(one, RECORD.UPDATE, { name, version: 1, data: '{"ok":1}' })
        assertFields(await two.take(), { action: RECORD.UPDATE, version: 1, data: '{"ok":1}' })
      })
    }
  }

  better('bad UTF-8 is answered with an error and reaches nobody', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('utf8')
    await open(two, name)
    one.record(RECORD.UPDATE, { name, version: 1, data: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) })
    const answer = await one.take()
    assert.ok(answer.topic === TOPIC.PARSER || answer.action === RECORD.INVALID_MESSAGE_DATA, JSON.stringify(answer))
    await write(one, RECORD.UPDATE, { name, version: 1, data: '{"ok":1}' })
    assertFields(await two.take(), { action: RECORD.UPDATE, version: 1, data: '{"ok":1}' })
  })

  better('a message without a name is INVALID_MESSAGE_DATA', async (t) => {
    const raw = await login(t)
    for (const action of [RECORD.READ, RECORD.HEAD, RECORD.UPDATE, RECORD.PATCH, RECORD.DELETE, RECORD.CREATEANDUPDATE]) {
      raw.record(action, { version: 1, data: '{}', path: action === RECORD.PATCH ? 'a' : undefined })
      assertFields(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.INVALID_MESSAGE_DATA, originalAction: action, isError: true })
    }
  })
})

describe('deleting and notifying', () => {
  test('DELETE tells the deleter and the others, and drops all subscriptions of the name', async (t) => {
    const [one, two, three] = [await login(t), await login(t), await login(t)]
    const name = unique('delete')
    await open(one, name)
    await open(two, name)
    one.record(RECORD.DELETE, { name })
    assert.deepEqual(await one.take(), { topic: TOPIC.RECORD, action: RECORD.DELETE_SUCCESS, name })
    assert.deepEqual(await two.take(), { topic: TOPIC.RECORD, action: RECORD.DELETED, name })
    await write(three, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"new":1}' })
    for (const raw of [one, two]) {
      assert.deepEqual(await stored(raw, name), { version: 1, data: { new: 1 } })
      assert.deepEqual(raw.passed, [])
      raw.record(RECORD.UNSUBSCRIBE, { names: [name], correlationId: 'u' })
      assertFields(await raw.take(), { action: RECORD.UNSUBSCRIBE, correlationId: 'u', isAck: true })
    }
  })

  test('DELETE of a missing record succeeds', async (t) => {
    const raw = await login(t)
    const name = unique('nothing')
    raw.record(RECORD.DELETE, { name })
    assert.deepEqual(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.DELETE_SUCCESS, name })
  })

  better('writes queued around a DELETE all get exactly one answer', async (t) => {
    const raw = await login(t)
    const name = unique('storm')
    for (let index = 0; index < 20; index++) {
      raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: `{"n":${index}}`, isWriteAck: true, correlationId: String(index) })
      if (index % 5 === 4) raw.record(RECORD.DELETE, { name })
    }
    const answers = []
    while (answers.length < 24) answers.push(await raw.take())
    assert.equal(answers.filter((answer) => answer.action === RECORD.DELETE_SUCCESS).length, 4)
    const answered = answers.filter((answer) => answer.isWriteAck).map((answer) => Number(answer.correlationId)).sort((a, b) => a - b)
    assert.deepEqual(answered, Array.from({ length: 20 }, (_, index) => index))
    assert.equal(await stored(raw, name), null)
  })

  better('NOTIFY sends the current value to all subscribers, the notifier too, then acknowledges', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('notify')
    await open(one, name)
    await open(two, name)
    await write(one, RECORD.UPDATE, { name, version: 1, data: '{"a":1}' })
    await two.next({ action: RECORD.UPDATE })
    const unheard = unique('unheard')
    one.record(RECORD.NOTIFY, { names: [name, unheard], correlationId: 'n' })
    for (const raw of [one, two]) assertFields(await raw.take(), { action: RECORD.UPDATE, name, version: 1, data: '{"a":1}' })
    assert.deepEqual(await one.take(), { topic: TOPIC.RECORD, action: RECORD.NOTIFY, correlationId: 'n', isAck: true, names: [name, unheard] })
  })

  test('NOTIFY of a subscribed record that does not exist says DELETED', async (t) => {
    const [one, two] = [await login(t), await login(t)]
    const name = unique('ghost')
    two.record(RECORD.SUBSCRIBEANDREAD, { names: [name], correlationId: '1' })
    await two.next({ action: RECORD.READ_RESPONSE })
    if (two.received.length === 0 && !two.passed.length) await two.take()
    one.record(RECORD.NOTIFY, { names: [name], correlationId: 'n' })
    assertFields(await one.next({ isAck: true }), { action: RECORD.NOTIFY, correlationId: 'n' })
    assertFields(await two.next({ action: RECORD.DELETED }), { name })
  })

  better('NOTIFY of nothing is acknowledged', async (t) => {
    const raw = await login(t)
    raw.record(RECORD.NOTIFY, { names: [], correlationId: 'n' })
    assertFields(await raw.take(), { action: RECORD.NOTIFY, correlationId: 'n', isAck: true })
  })
})

describe('what is not a request', () => {
  test('actions a client cannot ask for are silent', async (t) => {
    const raw = await login(t)
    for (const action of [RECORD.HEAD_BULK, RECORD.DELETE_BULK, RECORD.CREATE, RECORD.SUBSCRIBECREATEANDUPDATE, 36, 99, 200]) {
      raw.record(action, { name: unique('silent'), names: [unique('silent')], data: '{}', version: 1 })
    }
    assert.deepEqual(await raw.untilPong(), [])
  })

  test('topics a client cannot use are UNKNOWN_TOPIC', async (t) => {
    const raw = await login(t)
    for (const topic of [TOPIC.PARSER, TOPIC.MONITORING, TOPIC.CLUSTER, TOPIC.LOCK, TOPIC.ERROR, 42]) {
      raw.bytes(encode(topic, { action: 1 }))
      assertFields(await raw.take(), { topic: TOPIC.PARSER, action: PARSER.UNKNOWN_TOPIC })
    }
    assert.deepEqual(await raw.untilPong(), [])
  })
})
