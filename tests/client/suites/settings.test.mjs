// Settings that change what clients see: excluded and hot names, switched-off topics, paths.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn, ready, untilData } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, serverFor } from '../helpers/server.mjs'
import { unique, within } from '../helpers/until.mjs'
import { EVENT, PARSER, RECORD, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE

async function write (raw, action, fields) {
  const correlationId = unique('c')
  raw.record(action, { isWriteAck: true, correlationId, ...fields })
  return raw.next({ correlationId })
}

describe('storageExclusionPrefixes', { skip }, () => {
  test('excluded names live in memory only, the others survive a restart', async (t) => {
    const server = await serverFor(t, { extra: { record: { storageExclusionPrefixes: ['brief/', 'x'] } } })
    const raw = await Raw.login(t, server)
    for (const name of ['brief/1', 'xyz', 'kept/1', 'brie']) {
      assertFields(await write(raw, RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}' }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
      assertFields(await write(raw, RECORD.PATCH, { name, version: 2, path: 'b', data: '2' }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    }
    await server.end('SIGTERM')
    await server.launch()
    const again = await Raw.login(t, server)
    for (const [name, version] of [['brief/1', -1], ['xyz', -1], ['kept/1', 2], ['brie', 2]]) {
      again.record(RECORD.HEAD, { name })
      assertFields(await again.take(), { action: RECORD.HEAD_RESPONSE, name, version })
    }
  })
})

describe('storageHotPathPrefixes', { skip }, () => {
  const options = { extra: { record: { storageHotPathPrefixes: ['hot/'] } } }

  test('a whole value is written and acknowledged, and subscribers get a usable broadcast', async (t) => {
    const server = await serverFor(t, options)
    const [one, two] = [await Raw.login(t, server), await Raw.login(t, server)]
    two.record(RECORD.SUBSCRIBEANDREAD, { names: ['hot/1'], correlationId: '0' })
    await two.next({ action: RECORD.READ_RESPONSE })
    for (let value = 1; value <= 3; value++) {
      assertFields(await write(one, RECORD.CREATEANDUPDATE, { name: 'hot/1', version: -1, data: `{"n":${value}}` }), { action: RECORD.WRITE_ACKNOWLEDGEMENT, name: 'hot/1', isWriteAck: true })
      const broadcast = await two.next({ action: RECORD.UPDATE })
      assertFields(broadcast, { name: 'hot/1', data: `{"n":${value}}`, correlationId: undefined })
      assert.ok(!broadcast.isWriteAck && broadcast.version >= 0, JSON.stringify(broadcast))
    }
  })

  test('a patch that would create is refused', async (t) => {
    const server = await serverFor(t, options)
    const raw = await Raw.login(t, server)
    assertFields(await write(raw, RECORD.CREATEANDPATCH, { name: 'hot/2', version: -1, path: 'a', data: '1' }), {
      topic: TOPIC.RECORD, action: RECORD.INVALID_PATCH_ON_HOTPATH, name: 'hot/2', originalAction: RECORD.CREATEANDPATCH, isError: true
    })
    raw.record(RECORD.HEAD, { name: 'hot/2' })
    assertFields(await raw.take(), { version: -1 })
  })

  test('the official client follows a hot record and may write it', async (t) => {
    const server = await serverFor(t, options)
    const [one, two] = [await loggedIn(t, server), await loggedIn(t, server)]
    const record = await ready(two, 'hot/3')
    for (let value = 1; value <= 5; value++) {
      await within('the ack', one.record.setDataWithAck('hot/3', { value }))
      await untilData(record, { value })
    }
    await within('a write', record.setWithAck('more', true))
    assert.deepEqual(await within('a snapshot', one.record.snapshot('hot/3')), { value: 5, more: true })
  })
})

describe('enabledFeatures', { skip }, () => {
  test('a topic that is switched off is unknown', async (t) => {
    const server = await serverFor(t, { extra: { enabledFeatures: { event: false, record: true } } })
    const raw = await Raw.login(t, server)
    raw.event(EVENT.SUBSCRIBE, { names: ['x'], correlationId: '0' })
    assertFields(await raw.take(), { topic: TOPIC.PARSER, action: PARSER.UNKNOWN_TOPIC })
    raw.record(RECORD.HEAD, { name: 'x' })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE })
  })
})

describe('paths', { skip }, () => {
  test('urlPath and healthCheckPath are where the file says', async (t) => {
    const server = await serverFor(t, { endpoint: { urlPath: '/elsewhere/deep' } })
    const raw = await Raw.login(t, server, { path: '/elsewhere/deep' })
    assert.deepEqual(await raw.untilPong(), [])
    await assert.rejects(Raw.open(server))
    const answer = await fetch(`http://${server.url}/deepstream`)
    assert.equal(answer.status, 404)
    await answer.arrayBuffer()
  })
})

test('a rematchInterval of a second or less is said to mean never', { skip }, async (t) => {
  const warning = 'INVALID_CONFIG_DATA | Setting listen.rematchInterval to less than a second is not permitted.'
  const [never, seldom] = [await serverFor(t, { extra: { listen: { rematchInterval: 1000 } } }), await serverFor(t, { extra: { listen: { rematchInterval: 1001 } } })]
  assert.ok(never.log.includes(warning), never.log)
  assert.ok(!seldom.log.includes(warning), seldom.log)
})
