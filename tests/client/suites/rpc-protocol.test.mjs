// Calls field by field on the wire: what each side is sent, and the answers to invalid messages.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { unique } from '../helpers/until.mjs'
import { PARSER, RPC, TOPIC } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => { server = await Server.start({ extra: { rpc: { ackTimeout: 60000, responseTimeout: 60000 } } }) })
after(() => server.discard())

const ack = (action, correlationId) => ({ topic: TOPIC.RPC, action, correlationId, isAck: true })
const say = (raw, action, name, correlationId, data) => raw.rpc(action, { data, correlationId, name })

async function provider (t, name, from = server) {
  const raw = await Raw.login(t, from)
  raw.rpc(RPC.PROVIDE, { names: [name], correlationId: '0' })
  assert.deepEqual(await raw.take(), ack(RPC.PROVIDE, '0'))
  return raw
}

/** A call that its provider has been asked for. */
async function asked (t, from = server) {
  const name = unique('call')
  const [providing, calling] = [await provider(t, name, from), await Raw.login(t, from)]
  say(calling, RPC.REQUEST, name, 'a', '5')
  assert.deepEqual(await providing.take(), { topic: TOPIC.RPC, action: RPC.REQUEST, data: '5', correlationId: 'a', name })
  return { name, providing, calling }
}

function assertUnknown (message, name, correlationId, originalAction) {
  assert.deepEqual(message, { topic: TOPIC.RPC, action: RPC.INVALID_RPC_CORRELATION_ID, correlationId, isError: true, name, originalAction })
}

describe('a call on the wire', () => {
  test('request, acceptance and answer carry name, id and data and nothing else', async (t) => {
    const { name, providing, calling } = await asked(t)
    say(providing, RPC.ACCEPT, name, 'a')
    assert.deepEqual(await calling.take(), { topic: TOPIC.RPC, action: RPC.ACCEPT, correlationId: 'a', name })
    say(providing, RPC.RESPONSE, name, 'a', '7')
    assert.deepEqual(await calling.take(), { topic: TOPIC.RPC, action: RPC.RESPONSE, data: '7', correlationId: 'a', name })
  })

  test('an answer needs no acceptance, and no data', async (t) => {
    const { name, providing, calling } = await asked(t)
    say(providing, RPC.RESPONSE, name, 'a')
    assert.deepEqual(await calling.take(), { topic: TOPIC.RPC, action: RPC.RESPONSE, correlationId: 'a', name })
  })

  test('an error is passed on', async (t) => {
    const { name, providing, calling } = await asked(t)
    say(providing, RPC.REQUEST_ERROR, name, 'a', '"no"')
    assert.deepEqual(await calling.take(), { topic: TOPIC.RPC, action: RPC.REQUEST_ERROR, data: '"no"', correlationId: 'a', name })
  })

  test('nobody provides it', async (t) => {
    const raw = await Raw.login(t, server)
    const name = unique('nobody')
    say(raw, RPC.REQUEST, name, 'a', '5')
    assertFields(await raw.take(), { topic: TOPIC.RPC, action: RPC.NO_RPC_PROVIDER, name, correlationId: 'a' })
  })

  test('the second acceptance is told so, the second answer is of no call', async (t) => {
    const { name, providing, calling } = await asked(t)
    for (let round = 0; round < 2; round++) say(providing, RPC.ACCEPT, name, 'a')
    assertFields(await providing.take(), { action: RPC.MULTIPLE_ACCEPT, name, correlationId: 'a' })
    for (const data of ['1', '2']) say(providing, RPC.RESPONSE, name, 'a', data)
    assertUnknown(await providing.take(), name, 'a', RPC.RESPONSE)
    assertFields(await calling.take(), { action: RPC.ACCEPT })
    assertFields(await calling.take(), { action: RPC.RESPONSE, data: '1' })
    assert.deepEqual(await calling.untilPong(), [])
  })

  test('whatever is said about a call that is not there is answered', async (t) => {
    const name = unique('none')
    const raw = await provider(t, name)
    for (const action of [RPC.ACCEPT, RPC.RESPONSE, RPC.REJECT, RPC.REQUEST_ERROR]) {
      say(raw, action, name, 'x')
      assertUnknown(await raw.take(), name, 'x', action)
    }
  })

  test('providing twice is reported and acknowledged, providing no more only acknowledged', async (t) => {
    const name = unique('twice')
    const raw = await provider(t, name)
    raw.rpc(RPC.PROVIDE, { names: [name], correlationId: '1' })
    assertFields(await raw.take(), { action: RPC.MULTIPLE_PROVIDERS, name, originalAction: RPC.PROVIDE })
    assert.deepEqual(await raw.take(), ack(RPC.PROVIDE, '1'))
    for (const correlationId of ['2', '3']) {
      raw.rpc(RPC.UNPROVIDE, { names: [name], correlationId })
      assert.deepEqual(await raw.take(), ack(RPC.UNPROVIDE, correlationId))
    }
  })

  test('a bulk of names over all cores has one ack, and all of them are provided', async (t) => {
    const names = Array.from({ length: 500 }, () => unique('bulk'))
    const [providing, calling] = [await Raw.login(t, server), await Raw.login(t, server)]
    providing.rpc(RPC.PROVIDE, { names, correlationId: '7' })
    assert.deepEqual(await providing.take(), ack(RPC.PROVIDE, '7'))
    for (const name of names) say(calling, RPC.REQUEST, name, name)
    const requested = new Set()
    for (const _ of names) requested.add((await providing.next({ action: RPC.REQUEST })).name)
    assert.equal(requested.size, names.length)
    providing.rpc(RPC.UNPROVIDE, { names, correlationId: '8' })
    assert.deepEqual(await providing.take(), ack(RPC.UNPROVIDE, '8'))
  })

  test('empty names are acknowledged only', async (t) => {
    const raw = await Raw.login(t, server)
    for (const action of [RPC.PROVIDE, RPC.UNPROVIDE]) {
      raw.rpc(action, { names: [], correlationId: '3' })
      assert.deepEqual(await raw.take(), ack(action, '3'))
    }
  })

  test('timeouts name the call', async (t) => {
    const quick = await serverFor(t, { extra: { rpc: { ackTimeout: 50, responseTimeout: 150 } } })
    const { name, providing, calling } = await asked(t, quick)
    assertFields(await calling.take(), { topic: TOPIC.RPC, action: RPC.ACCEPT_TIMEOUT, name, correlationId: 'a' })
    say(providing, RPC.ACCEPT, name, 'a')
    assertUnknown(await providing.take(), name, 'a', RPC.ACCEPT)
    say(calling, RPC.REQUEST, name, 'b')
    await providing.next({ action: RPC.REQUEST })
    say(providing, RPC.ACCEPT, name, 'b')
    assertFields(await calling.take(), { action: RPC.ACCEPT })
    assertFields(await calling.take(), { topic: TOPIC.RPC, action: RPC.RESPONSE_TIMEOUT, name, correlationId: 'b' })
  })

  test('a topic that is switched off is unknown', { skip: REFERENCE }, async (t) => {
    const without = await serverFor(t, { extra: { enabledFeatures: { rpc: false } } })
    const raw = await Raw.login(t, without)
    say(raw, RPC.REQUEST, 'x', 'a', '1')
    assertFields(await raw.take(), { topic: TOPIC.PARSER, action: PARSER.UNKNOWN_TOPIC, originalTopic: TOPIC.RPC })
  })
})

describe('calls that go wrong', () => {
  better('an acceptance of the first provider does not count for the second', async (t) => {
    const { name, providing, calling } = await asked(t)
    const second = await provider(t, name)
    say(providing, RPC.ACCEPT, name, 'a')
    say(providing, RPC.REJECT, name, 'a')
    assertFields(await second.take(), { action: RPC.REQUEST, name, correlationId: 'a' })
    say(second, RPC.ACCEPT, name, 'a')
    say(second, RPC.RESPONSE, name, 'a', '7')
    for (const action of [RPC.ACCEPT, RPC.ACCEPT, RPC.RESPONSE]) assertFields(await calling.take(), { action })
    assert.deepEqual(await second.untilPong(), [])
  })

  better('only the provider that was asked can answer', async (t) => {
    const { name, providing, calling } = await asked(t)
    const [idle, stranger] = [await provider(t, name), await Raw.login(t, server)]
    for (const other of [idle, stranger, calling]) {
      for (const action of [RPC.ACCEPT, RPC.RESPONSE, RPC.REJECT, RPC.REQUEST_ERROR]) {
        say(other, action, name, 'a', '666')
        assertUnknown(await other.take(), name, 'a', action)
      }
    }
    say(providing, RPC.RESPONSE, name, 'a', '7')
    assertFields(await calling.take(), { action: RPC.RESPONSE, data: '7' })
  })

  better('callers that choose the same id get each their own answer', async (t) => {
    const name = unique('same-id')
    const providing = await provider(t, name)
    const callers = await Promise.all(Array.from({ length: 8 }, () => Raw.login(t, server)))
    callers.forEach((caller, index) => say(caller, RPC.REQUEST, name, 'same', String(index)))
    const requests = []
    for (const _ of callers) requests.push(await providing.take())
    assert.equal(new Set(requests.map(({ correlationId }) => correlationId)).size, callers.length)
    for (const { correlationId, data } of requests.reverse()) say(providing, RPC.RESPONSE, name, correlationId, data)
    for (const [index, caller] of callers.entries()) {
      assert.deepEqual(await caller.take(), { topic: TOPIC.RPC, action: RPC.RESPONSE, data: String(index), correlationId: 'same', name })
    }
  })

  better('a caller cannot say who it is', async (t) => {
    for (const provideRequestorName of [false, true]) {
      const other = await serverFor(t, { extra: { rpc: { provideRequestorName } } })
      const name = unique('who')
      const [providing, calling] = [await provider(t, name, other), await Raw.login(t, other, { username: 'ann' })]
      calling.rpc(RPC.REQUEST, { name, correlationId: 'a', requestorName: 'root', requestorData: '{"admin":true}' })
      assertFields(await providing.take(), { requestorName: provideRequestorName ? 'ann' : undefined, requestorData: undefined })
    }
  })

  for (const [what, data] of [['broken JSON', '{"a":'], ['empty data', ''], ['two values', '1 2']]) {
    better(`${what} reaches neither provider nor caller`, async (t) => {
      const { name, providing, calling } = await asked(t)
      say(calling, RPC.REQUEST, name, 'b', data)
      assertFields(await calling.take(), { topic: TOPIC.RPC, action: RPC.INVALID_MESSAGE_DATA, name, correlationId: 'b', originalAction: RPC.REQUEST, isError: true })
      say(providing, RPC.RESPONSE, name, 'a', data)
      assertFields(await providing.take(), { topic: TOPIC.RPC, action: RPC.INVALID_MESSAGE_DATA, name, correlationId: 'a', originalAction: RPC.RESPONSE, isError: true })
      say(providing, RPC.RESPONSE, name, 'a', '7')
      assertFields(await calling.take(), { action: RPC.RESPONSE, data: '7' })
    })
  }

  better('a request without name or id is refused', async (t) => {
    const raw = await Raw.login(t, server)
    for (const fields of [{ name: 'x' }, { correlationId: 'a' }, { name: 'x', correlationId: '' }]) {
      raw.rpc(RPC.REQUEST, { data: '1', ...fields })
      assertFields(await raw.take(), { topic: TOPIC.RPC, action: RPC.INVALID_MESSAGE_DATA, isError: true })
    }
  })

  better('a destroyed provider, a closed one and one that stops providing hand over at once', async (t) => {
    const leave = [
      (raw) => raw.socket._socket.destroy(),
      (raw) => raw.socket.close(),
      (raw, name) => raw.rpc(RPC.UNPROVIDE, { names: [name], correlationId: '9' })
    ]
    for (const leaving of leave) {
      const { name, providing, calling } = await asked(t)
      const second = await provider(t, name)
      leaving(providing, name)
      assertFields(await second.take(), { action: RPC.REQUEST, name, correlationId: 'a', data: '5' })
      leaving(second, name)
      assertFields(await calling.take(), { action: RPC.NO_RPC_PROVIDER, name, correlationId: 'a' })
    }
  })

  test('who answers a caller that left is not bothered with that', async (t) => {
    const { name, providing, calling } = await asked(t)
    await calling.close()
    say(providing, RPC.ACCEPT, name, 'a')
    say(providing, RPC.RESPONSE, name, 'a', '7')
    say(providing, RPC.ACCEPT, name, 'a')
    assertUnknown(await providing.take(), name, 'a', RPC.ACCEPT)
  })

  test('unknown actions are silent', async (t) => {
    const raw = await Raw.login(t, server)
    for (const action of [3, 50, 150]) raw.rpc(action, { name: 'x', correlationId: 'a' })
    assert.deepEqual(await raw.untilPong(), [])
  })
})
