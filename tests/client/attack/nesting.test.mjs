// Values that are nested too deeply are refused with a reason, in every protocol; a client that asks for something too
// large to be sent is told so.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { batch } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { CONNECT, PUBLISH, bare, mqttServer } from '../helpers/mqtt.mjs'
import { Raw } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { until, within } from '../helpers/until.mjs'
import { EVENT, RECORD, RPC, TOPIC } from '../helpers/wire.mjs'

const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth)
const MAX = 128
const WORDS = `nested deeper than limits.nestingMax (${MAX})`
const DEEP = nested(MAX + 1)

describe('nesting', () => {
  test('an event is refused to its emitter, whatever it speaks, and nobody else is told', async (t) => {
    const server = await mqttServer(t)
    const listener = await Raw.login(t, server)
    listener.event(EVENT.SUBSCRIBE, { names: ['e'], correlationId: '1' })
    await listener.next({ topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE })

    const raw = await Raw.login(t, server)
    raw.event(EVENT.EMIT, { name: 'e', data: DEEP })
    assert.equal((await raw.next({ topic: TOPIC.EVENT, action: EVENT.INVALID_MESSAGE_DATA })).data, JSON.stringify(WORDS))
    const json = await Json.login(t, server)
    json.text(`{"topic":4,"action":2,"name":"e","parsedData":${DEEP}}`)
    assert.equal((await json.take()).parsedData, WORDS)
    json.say({ topic: TOPIC.EVENT, action: EVENT.EMIT, name: 'e', data: DEEP })
    assert.equal((await json.take()).parsedData, WORDS)
    const text = await Text.login(t, server)
    text.say(`E|EVT|e|O${DEEP}+`)
    assert.equal(await text.take(), `E|E|INVALID_MESSAGE_DATA|${WORDS}+`)
    const { result, body } = await batch(server, [
      { topic: 'event', action: 'emit', eventName: 'e', data: JSON.parse(DEEP) },
      { topic: 'record', action: 'write', recordName: 'r', data: JSON.parse(DEEP) },
      { topic: 'event', action: 'emit', eventName: 'other', data: 1 }
    ])
    assert.deepEqual([result, body.map(({ success }) => success)], ['PARTIAL_SUCCESS', [false, false, true]])
    for (const { error } of body.slice(0, 2)) assert.equal(error, `An error occurred: INVALID_MESSAGE_DATA: ${WORDS}.`)

    const socket = await bare(t, server)
    socket.write(Buffer.concat([CONNECT('x', { version: 5 }), PUBLISH('e', Buffer.from(`\0${DEEP}`), { qos: 1, id: 7 })]))
    await until('it is told', () => socket.heard.includes(WORDS))
    const quiet = await bare(t, server)
    quiet.write(Buffer.concat([CONNECT('y'), PUBLISH('e', DEEP)]))
    await until('the log tells', () => server.log.includes(`INVALID_MESSAGE_DATA | e: ${WORDS}`))

    raw.event(EVENT.EMIT, { name: 'e', data: '"last"' })
    assert.equal((await listener.next({ topic: TOPIC.EVENT, action: EVENT.EMIT })).data, '"last"')
    assert.deepEqual(listener.passed, [])
  })

  test('a record, a patch of one, and a call', async (t) => {
    const server = await serverFor(t, { memory: true })
    const raw = await Raw.login(t, server)
    raw.record(RECORD.CREATEANDUPDATE, { name: 'r', version: -1, data: '{}', isWriteAck: true, correlationId: '1' })
    await raw.next({ topic: TOPIC.RECORD, action: RECORD.WRITE_ACKNOWLEDGEMENT })
    const refused = async (action, fields) => {
      raw.record(action, { name: 'r', version: 2, ...fields })
      const answer = await raw.next({ topic: TOPIC.RECORD, action: RECORD.INVALID_MESSAGE_DATA })
      assert.equal(answer.data, JSON.stringify(WORDS))
    }
    await refused(RECORD.UPDATE, { data: DEEP })
    await refused(RECORD.PATCH, { path: 'a.b', data: nested(MAX - 1) })
    await refused(RECORD.PATCH, { path: Array(MAX + 1).fill('a').join('.'), data: '1' })
    const client = await loggedIn(t, server)
    await assert.rejects(within('the answer', client.rpc.make('r', JSON.parse(DEEP))), (error) => error === WORDS || error.message === WORDS)
    const record = await ready(client, 'r')
    assert.deepEqual(record.get(), {})
  })

  test('the key moves the limit', async (t) => {
    const server = await serverFor(t, { memory: true, limits: { nestingMax: 1000 } })
    const [one, other] = [await loggedIn(t, server), await loggedIn(t, server)]
    const record = await ready(one, 'r')
    const deep = JSON.parse(nested(999))
    await within('the write', record.setWithAck({ deep }))
    assert.deepEqual(await within('the value', other.record.snapshot('r')), { deep })
    await within('the patch', record.setWithAck('deep', 1))
    assert.deepEqual(await within('the value', other.record.snapshot('r')), { deep: 1 })
  })
})

describe('an answer that is too large', () => {
  test('is told to its caller as that, not as a missing provider', async (t) => {
    const server = await serverFor(t, { memory: true, endpoint: { maxMessageSize: 2000 } })
    const [provider, caller] = [await loggedIn(t, server), await loggedIn(t, server)]
    provider.mayFail = true
    provider.rpc.provide('large', (data, response) => response.send('x'.repeat(3000)))
    await until('it is provided', async () => (await server.census()).provided_names > 0 || (await server.census()).callers > 0)
    const other = await Raw.login(t, server)
    await assert.rejects(within('the answer', caller.rpc.make('large')), (error) => /maxMessageSize/.test(error.message ?? error))
    const answer = await other.ask(TOPIC.RPC, { action: RPC.REQUEST, name: 'nobody', correlationId: '1' }, { action: RPC.NO_RPC_PROVIDER })
    assert.equal(answer.name, 'nobody')
  })
})
