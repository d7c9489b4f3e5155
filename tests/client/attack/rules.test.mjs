// Permission files that may not mean what their author thinks: there are warnings about special characters in paths, a
// file may ask for literal paths, and keywords inside of strings mean nothing.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connected, mqttServer } from '../helpers/mqtt.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const OPEN = {
  record: { create: true, read: true, write: true, delete: true, listen: true, notify: true },
  event: { publish: true, subscribe: true, listen: true },
  rpc: { provide: true, request: true },
  presence: { allow: true }
}

/** Everything is allowed but what these say: section → path → type → rule. */
function permission (more, others = {}) {
  const sections = Object.entries(OPEN).map(([section, open]) => [section, { '*': open, ...more[section] }])
  return { permission: { type: 'config', options: { permissions: { ...others, ...Object.fromEntries(sections) } } } }
}

const GUARDED = {
  record: { 'example.com/$x': { read: false }, 'search?$q': { read: false }, 'a[0]/$x': { read: false } },
  event: { 'example.com/*': { subscribe: false } }
}

/** Whether a record of that name can be read. */
async function reads (raw, name) {
  raw.record(RECORD.READ, { name })
  const { action } = await raw.next({ topic: TOPIC.RECORD, name })
  return action !== RECORD.MESSAGE_DENIED
}

describe('paths that look like names', () => {
  test('are warned of at the start, with their escaped spelling', async (t) => {
    const server = await serverFor(t, { extra: permission(GUARDED) })
    for (const [path, spelling] of [['example.com/$x', 'example\\.com/$x'], ['search?$q', 'search\\?$q'], ['a[0]/$x', 'a\\[0\\]/$x']]) {
      const line = server.log.split('\n').find((line) => line.includes('PERMISSION |') && line.includes(`record "${path}"`))
      assert.ok(line?.includes(`write ${spelling}`), `${path}: ${server.log}`)
    }
    const raw = await Raw.login(t, server)
    // What upstream takes them for stays in force.
    assert.equal(await reads(raw, 'exampleXcom/1'), false)
    assert.equal(await reads(raw, 'searchSecret'), false)
    assert.equal(await reads(raw, 'a[0]/1'), true)
  })

  test('mean what they look like where the file says so', async (t) => {
    const server = await serverFor(t, { extra: permission(GUARDED, { paths: 'literal' }) })
    assert.ok(!server.log.includes('PERMISSION |'), server.log)
    const raw = await Raw.login(t, server)
    for (const name of ['example.com/1', 'search?abc', 'a[0]/1']) assert.equal(await reads(raw, name), false, name)
    for (const name of ['exampleXcom/1', 'searchSecret', 'a0/1']) assert.equal(await reads(raw, name), true, name)
  })

  test('cover filters of MQTT and patterns of listeners as names', async (t) => {
    const server = await mqttServer(t, { extra: permission({ ...GUARDED, event: { ...GUARDED.event, 'b.c/*': { listen: false } } }, { paths: 'literal' }) })
    const device = await connected(t, server, { protocolVersion: 5 })
    const granted = async (filter) => {
      const answer = await device.subscribeAsync(filter).catch((error) => error)
      return Array.isArray(answer) && answer[0].qos < 128
    }
    assert.equal(await granted('example.com/+'), false)
    assert.equal(await granted('exampleXcom/+'), true)
    const raw = await Raw.login(t, server)
    const listens = async (name) => {
      raw.event(EVENT.LISTEN, { name, correlationId: '1' })
      return (await raw.next({ topic: TOPIC.EVENT, name })).action !== EVENT.MESSAGE_DENIED
    }
    assert.equal(await listens('b.c/x'), false)
    assert.equal(await listens('bXc/x'), true)
  })
})

test('words in strings, comments and names of properties are no reason to refuse a rule', async (t) => {
  const rule = "user.id === 'data' || _('data/' + $id).open /* new Date() */"
  const server = await serverFor(t, { extra: permission({ record: { 'box/$id': { read: rule } }, event: { news: { publish: "data.status === 'new' && data.function === 1" } } }) })
  const raw = await Raw.login(t, server)
  for (const [name, data] of [['data/1', '{"open":true}'], ['data/2', '{"open":false}']]) {
    raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data, isWriteAck: true, correlationId: name })
    assertFields(await raw.next({ correlationId: name }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
  }
  assert.equal(await reads(raw, 'box/1'), true)
  assert.equal(await reads(raw, 'box/2'), false)
  const other = await Raw.login(t, server)
  other.event(EVENT.SUBSCRIBE, { names: ['news'], correlationId: '0' })
  await other.next({ topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE })
  raw.event(EVENT.EMIT, { name: 'news', data: '{"status":"old","function":1}' })
  assertFields(await raw.next({ topic: TOPIC.EVENT, name: 'news' }), { action: EVENT.MESSAGE_DENIED })
  raw.event(EVENT.EMIT, { name: 'news', data: '{"status":"new","function":1}' })
  assertFields(await other.next({ topic: TOPIC.EVENT, action: EVENT.EMIT }), { name: 'news' })
})
