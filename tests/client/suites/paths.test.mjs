// JSON paths, the prototype guard, and several patches in one message.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready, untilData } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { unique } from '../helpers/until.mjs'
import { RECORD, TOPIC } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
let raw
before(async () => {
  server = await Server.start()
  raw = await Raw.login(undefined, server)
})
after(async () => {
  raw.terminate()
  await server.discard()
})

async function write (action, fields) {
  const correlationId = unique('c')
  raw.record(action, { isWriteAck: true, correlationId, ...fields })
  return raw.next({ correlationId })
}

/** A record with this value; answers its name. */
async function record (value) {
  const name = unique('path')
  const answer = await write(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify(value) })
  assert.equal(answer.action, RECORD.WRITE_ACKNOWLEDGEMENT)
  return name
}

async function read (name) {
  raw.record(RECORD.READ, { name })
  const answer = await raw.next({ name, action: RECORD.READ_RESPONSE })
  return JSON.parse(answer.data)
}

async function patched (value, path, data) {
  const name = await record(value)
  const answer = await write(data === undefined ? RECORD.ERASE : RECORD.PATCH, { name, version: -1, path, data })
  assert.equal(answer.action, RECORD.WRITE_ACKNOWLEDGEMENT, `${path}: ${JSON.stringify(answer)}`)
  return read(name)
}

describe('setting a path', () => {
  for (const [path, expected] of [
    ['a', { a: 1 }],
    ['a.b', { a: { b: 1 } }],
    ['a..b', { a: { b: 1 } }],
    [' a . b ', { a: { b: 1 } }],
    ['.a.', { a: 1 }],
    ['items.0', { items: { 0: 1 } }],
    ['a[0]', { a: [1] }],
    ['a[2]', { a: [null, null, 1] }],
    ['a[ 1 ]', { a: [null, 1] }],
    ['a[01]', { a: [null, 1] }],
    ['a[0', { a: [1] }],
    ['a]0', { a: [1] }],
    ['a[]', { a: 1 }],
    ['a[0][1]', { a: [[null, 1]] }],
    ['a[0].b', { a: [{ b: 1 }] }],
    ['[0]', { '': [1] }],
    ['a[0x2]', { a: [null, null, 1] }],
    ['a[1e1]', { a: [...Array(10).fill(null), 1] }],
    ['a b', { 'a b': 1 }],
    ['a"b\\c', { 'a"b\\c': 1 }],
    ['ünïcödé.🚀', { ünïcödé: { '🚀': 1 } }]
  ]) {
    test(`${JSON.stringify(path)} on an empty record`, async () => {
      assert.deepEqual(await patched({}, path, '1'), expected)
    })
  }

  for (const [what, value, path, expected] of [
    ['a scalar parent becomes an object', { a: 5 }, 'a.b', { a: { b: 1 } }],
    ['a scalar parent becomes an array', { a: 'x' }, 'a[1]', { a: [null, 1] }],
    ['an existing object is entered', { a: { c: 2 } }, 'a.b', { a: { c: 2, b: 1 } }],
    ['an index on an object is a key', { a: { c: 2 } }, 'a[0]', { a: { c: 2, 0: 1 } }],
    ['a digit key on an array is an element', { a: [7, 8] }, 'a.1', { a: [7, 1] }],
    ['an element is replaced', { a: [7, 8, 9] }, 'a[1]', { a: [7, 1, 9] }],
    ['an array grows with nulls', { a: [7] }, 'a[3]', { a: [7, null, null, 1] }],
    ['a root array takes a digit key', ['x', 'y'], '1', ['x', 1]]
  ]) {
    test(what, async () => {
      assert.deepEqual(await patched(value, path, '1'), expected)
    })
  }

  better('a null parent is treated as missing', async () => {
    assert.deepEqual(await patched({ a: null }, 'a.b', '1'), { a: { b: 1 } })
    assert.deepEqual(await patched({ a: [null] }, 'a[0].b', '1'), { a: [{ b: 1 }] })
  })
})

describe('erasing a path', () => {
  for (const [what, value, path, expected] of [
    ['a key goes', { a: 1, b: 2 }, 'a', { b: 2 }],
    ['a nested key goes', { a: { b: 1, c: 2 } }, 'a.b', { a: { c: 2 } }],
    ['an element becomes null and the length stays', { a: [1, 2, 3] }, 'a[1]', { a: [1, null, 3] }],
    ['a missing key changes nothing', { a: 1 }, 'b', { a: 1 }],
    ['below a missing parent the parents appear', {}, 'x.y', { x: {} }]
  ]) {
    test(what, async () => {
      assert.deepEqual(await patched(value, path), expected)
    })
  }
})

describe('paths that are refused', () => {
  const unsafe = ['__proto__', '__proto__.polluted', 'a.__proto__.b', 'constructor', 'constructor.prototype.x', 'prototype', ' __proto__ .x', 'a.constructor[0]', '__proto__[0]']
  const invalid = ['', '.', ' . ', 'a[x]', 'a[-1]', 'a[0]b', 'a[NaN]', 'a[Infinity]', 'a[4000000000]', 'a[20000]', 'a[1e9]']
  for (const [path, run] of [...unsafe.map((path) => [path, test]), ...invalid.map((path) => [path, better])]) {
    run(`${JSON.stringify(path)} is INVALID_MESSAGE_DATA for PATCH and PATCH_MULTI`, async () => {
      const name = await record({ kept: 1 })
      const fields = { topic: TOPIC.RECORD, action: RECORD.INVALID_MESSAGE_DATA, name, isWriteAck: true, ...(REFERENCE ? {} : { isError: true }) }
      assertFields(await write(RECORD.PATCH, { name, version: 2, path, data: '1' }), { ...fields, originalAction: RECORD.PATCH })
      const patches = JSON.stringify([{ path: 'fine', data: 1 }, { path, data: 1 }])
      assertFields(await write(RECORD.PATCH_MULTI, { name, version: 2, data: patches }), { ...fields, originalAction: RECORD.PATCH_MULTI })
      assert.deepEqual(await read(name), { kept: 1 })
    })
  }

  test('names that only resemble the prototype are fine', async () => {
    for (const path of ['user_proto', 'toString', 'hasOwnProperty', '__proto', 'prototypes']) {
      assert.deepEqual(await patched({}, path, '1'), { [path]: 1 })
    }
  })

  test('the keys of a whole value are not looked at', async () => {
    const name = unique('keys')
    const data = '{"constructor":1,"prototype":{"__proto__":2}}'
    assertFields(await write(RECORD.CREATEANDUPDATE, { name, version: -1, data }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    raw.record(RECORD.READ, { name })
    assert.equal((await raw.next({ name })).data.includes('constructor'), true)
  })

  test('an official client that sets an unsafe path with an ack is told', { skip: REFERENCE }, async (t) => {
    const client = await loggedIn(t, server)
    const handle = await ready(client, unique('unsafe'))
    await assert.rejects(handle.setWithAck('constructor.x', 1), (error) => error === 'INVALID_MESSAGE_DATA')
  })
})

describe('PATCH_MULTI', () => {
  test('all patches are one version and one broadcast', async (t) => {
    const name = await record({ a: { b: 1 }, list: [1, 2] })
    const other = await Raw.login(t, server, { sdkVersion: '7.1.0' })
    other.record(RECORD.SUBSCRIBE, { names: [name], correlationId: '0' })
    await other.take()
    const data = '[{"path":"a.b","data":2},{"path":"a.c","data":null},{"path":"list[1]","data":{"x":1}},{"path":"gone","data":1},{"path":"gone"}]'
    assertFields(await write(RECORD.PATCH_MULTI, { name, version: 2, data }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    const broadcast = await other.take()
    assertFields(broadcast, { action: RECORD.PATCH_MULTI, name, version: 2, path: undefined, correlationId: undefined })
    assert.deepEqual(JSON.parse(broadcast.data), JSON.parse(data))
    assert.deepEqual(await read(name), { a: { b: 2, c: null }, list: [1, { x: 1 }] })
  })

  for (const data of ['[]', '{}', '"x"', '1', 'null', '[1]', '[{}]', '[{"path":1,"data":1}]', '[{"path":"a","data":1},{"data":2}]']) {
    test(`${data} is refused and nothing changes`, async () => {
      const name = await record({ kept: 1 })
      assertFields(await write(RECORD.PATCH_MULTI, { name, version: 2, data }), { action: RECORD.INVALID_MESSAGE_DATA, name, originalAction: RECORD.PATCH_MULTI })
      assert.deepEqual(await read(name), { kept: 1 })
    })
  }

  better('a client older than 7.1.0 gets the whole value instead, in step with the others', async (t) => {
    const name = await record({ a: 1, b: 2 })
    const old = await Raw.login(t, server, { sdkVersion: '7.0.5' })
    old.record(RECORD.SUBSCRIBE, { names: [name], correlationId: '0' })
    await old.take()
    await write(RECORD.PATCH_MULTI, { name, version: 2, data: '[{"path":"a","data":5},{"path":"b"}]' })
    const broadcast = await old.take()
    assertFields(broadcast, { action: RECORD.UPDATE, name, version: 2 })
    assert.deepEqual(JSON.parse(broadcast.data), { a: 5 })
  })

  better('the official client 7.0.5 follows it without a read', async (t) => {
    const name = await record({ a: 1 })
    const client = await loggedIn(t, server)
    const handle = await ready(client, name)
    await write(RECORD.PATCH_MULTI, { name, version: 2, data: '[{"path":"a","data":5},{"path":"c.d","data":[1]}]' })
    await untilData(handle, { a: 5, c: { d: [1] } })
    assert.equal(handle.version, 2)
  })
})
