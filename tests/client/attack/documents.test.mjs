// No client is sent a document that it may not read: with random rules and documents that contain unique marks, a
// client tries everything in every protocol. Marks of denied documents must appear in no byte that comes back.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ready, user } from '../helpers/clients.mjs'
import { post } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { connected, mqttServer } from '../helpers/mqtt.mjs'
import { oldLoggedIn, oldReady, oldSet, untilError } from '../helpers/old-clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { until, within } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const SEEDS = process.env.DEEPSTREAM_ATTACK_SEEDS?.split(',').map(Number) ?? [1, 2, 3, 4, 5, 6]

/** Numbers of a seed, always the same. */
function dice (seed) {
  let state = seed * 0x9e3779b9 >>> 0
  const roll = (sides) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides
  }
  return { roll, pick: (list) => list[roll(list.length)], shuffled: (list) => list.map((entry) => [roll(1 << 30), entry]).sort(([a], [b]) => a - b).map(([, entry]) => entry) }
}

const BOSS = "user.id === 'boss'"
/** Rules that let nobody but the boss read; each in a way of its own. */
const CLOSED = [BOSS, `${BOSS} && oldData !== 7`, `${BOSS} || oldData.open === true`, `${BOSS} || _('key').open === true`, `${BOSS} || _('not/there').open`, `${BOSS} || _(_('key').next).open === true`]
const OPEN = ['true', "user.id === 'boss' || user.id === 'eve'", `${BOSS} || oldData === null || oldData.open !== true`, `${BOSS} || _('key').open === false`]

/** Documents d/0 … and what eve may do with each. */
function drawn ({ roll, pick }) {
  const record = { '*': { create: true, read: true, write: true, delete: true, notify: true, listen: true } }
  const names = Array.from({ length: 8 }, (_, index) => `d/${index}`)
  const closed = new Set()
  for (const [index, name] of names.entries()) {
    const shut = index < 5
    if (shut) closed.add(name)
    const right = () => roll(100) < 75 ? 'true' : BOSS
    const read = pick(shut ? CLOSED : OPEN)
    record[name] = { read, create: right(), write: right(), delete: right(), notify: right(), listen: right() }
  }
  return { names, closed, record }
}

const permissions = (record) => ({
  record,
  event: { '*': { publish: true, subscribe: true, listen: true } },
  rpc: { '*': { provide: true, request: true } },
  presence: { '*': { allow: true } }
})

/** What eve says about a name at a version, on the wires that have a form for every action. */
function everything (name, version) {
  const whole = { data: '{"eve":1}' }
  const part = { path: 'eve', data: '1' }
  const said = [
    [RECORD.READ, { name }], [RECORD.HEAD, { name }],
    ...[RECORD.SUBSCRIBE, RECORD.SUBSCRIBEANDHEAD, RECORD.SUBSCRIBEANDREAD, RECORD.SUBSCRIBECREATEANDREAD, RECORD.SUBSCRIBECREATEANDREAD, RECORD.NOTIFY]
      .map((action) => [action, { names: ['d/7', name], correlationId: `b${action}` }]),
    [RECORD.LISTEN, { name, correlationId: 'l' }], [RECORD.LISTEN, { name: '.*', correlationId: 'll' }],
    [RECORD.HEAD_BULK, { names: [name] }], [RECORD.READ_RESPONSE, { name }]
  ]
  for (const at of [-7, 0, version - 1, version, version + 2, version + 90, 2147483647]) {
    for (const ack of [{}, { isWriteAck: true, correlationId: `w${at}` }]) {
      for (const [action, fields] of [[RECORD.UPDATE, whole], [RECORD.PATCH, part], [RECORD.ERASE, { path: 'eve' }], [RECORD.PATCH_MULTI, { data: '[{"path":"eve","data":1}]' }], [RECORD.CREATEANDUPDATE, whole], [RECORD.CREATEANDPATCH, part]]) {
        said.push([action, { name, version: at, ...fields, ...ack }])
      }
      // Invalid messages are answered with what their sender said, not with what is stored.
      said.push([RECORD.UPDATE, { name, version: at, data: '7', ...ack }], [RECORD.PATCH, { name, version: at, path: '__proto__', data: '1', ...ack }])
    }
  }
  // The write succeeded: the former content is gone, or is beside the new one.
  said.push([RECORD.PATCH, { name, version: version + 1, ...part, isWriteAck: true, correlationId: 'right' }], [RECORD.PATCH, { name, version: -1, ...part }])
  return said
}

/** One who may not, on one wire. `heard()` is all that ever came back. */
const WIRES = {
  async protobuf (t, server, { shuffled }, sdkVersion = '7.1.0') {
    const raw = await Raw.login(t, server, { username: 'eve', sdkVersion })
    return {
      attack (name, version) { for (const [action, fields] of shuffled(everything(name, version))) raw.record(action, fields) },
      remove (name) { raw.record(RECORD.DELETE, { name }) },
      async settle (names) {
        for (const name of names) raw.record(RECORD.READ, { name })
        const answered = (name) => raw.received.some((message) => message.name === name && (message.action === RECORD.READ_RESPONSE || message.action === RECORD.RECORD_NOT_FOUND || message.originalAction === RECORD.READ))
        await until('every read is answered', () => names.every(answered))
        raw.received.length = 0
      },
      heard: () => Buffer.concat(raw.frames).toString()
    }
  },
  'protobuf of old' (t, server, dice) {
    return WIRES.protobuf(t, server, dice, '7.0.5')
  },
  async json (t, server, { shuffled }) {
    const json = await Json.login(t, server, { username: 'eve' })
    const texts = []
    json.socket.on('message', (data) => texts.push(data.toString()))
    const say = (action, { data, ...fields }) => json.say({ topic: TOPIC.RECORD, action, ...fields, ...(data === undefined ? {} : { data }) })
    return {
      attack (name, version) { for (const [action, fields] of shuffled(everything(name, version))) say(action, fields) },
      remove (name) { say(RECORD.DELETE, { name }) },
      async settle (names) {
        for (const name of names) say(RECORD.READ, { name })
        const answered = (name) => json.received.some((message) => message.name === name && (message.action === RECORD.READ_RESPONSE || message.action === RECORD.RECORD_NOT_FOUND || message.originalAction === RECORD.READ))
        await until('every read is answered', () => names.every(answered))
        json.received.length = 0
      },
      heard: () => texts.join('\n')
    }
  },
  async text (t, server, { shuffled }) {
    const text = await Text.login(t, server, { username: 'eve' })
    const texts = []
    text.socket.on('message', (data) => texts.push(data.toString()))
    return {
      attack (name, version) {
        const said = ['CR', 'SN', 'R', 'HD', 'S', 'L', 'CR'].map((word) => `R|${word}|${name}+`)
        for (const at of [-7, 0, version - 1, version, version + 2, version + 90, 2147483647]) {
          for (const ack of ['', '|{"writeSuccess":true}']) {
            said.push(`R|U|${name}|${at}|{"eve":1}${ack}+`, `R|P|${name}|${at}|eve|N1${ack}+`, `R|P|${name}|${at}|eve|U${ack}+`)
            said.push(`R|CU|${name}|${at}|{"eve":1}${ack || '|{}'}+`, `R|CU|${name}|${at}|eve|N1${ack || '|{}'}+`, `R|U|${name}|${at}|{"a"${ack}+`)
          }
        }
        said.push(`R|P|${name}|${version + 1}|eve|N1|{"writeSuccess":true}+`)
        for (const line of shuffled(said)) text.say(line)
      },
      remove (name) { text.say(`R|D|${name}+`) },
      async settle (names) {
        for (const name of names) text.say(`R|H|${name}+`)
        const answered = (name) => text.received.some((line) => line.startsWith(`R|H|${name}|`) || line.startsWith(`R|E|H|${name}|MESSAGE_`))
        await until('every question whether there is one is answered', () => names.every(answered))
        text.received.length = 0
      },
      heard: () => texts.join('\n')
    }
  },
  async http (t, server, { shuffled }) {
    const texts = []
    let last = Promise.resolve()
    const say = (body) => { last = last.then(async () => { texts.push((await post(server, { authData: { username: 'eve' }, body })).text) }) }
    return {
      attack (recordName, version) {
        const entries = ['read', 'head', 'notify'].map((action) => ({ topic: 'record', action, recordName, recordNames: [recordName] }))
        entries.push({ topic: 'list', action: 'read', listName: recordName })
        for (const at of [undefined, -7, 0, version - 1, version, version + 2, version + 90]) {
          entries.push({ topic: 'record', action: 'write', recordName, version: at, path: 'eve', data: 1 })
          if (at !== undefined) entries.push({ topic: 'record', action: 'write', recordName, version: at, data: { eve: 1 } }, { topic: 'list', action: 'write', listName: recordName, version: at, data: ['eve'] })
        }
        const mixed = shuffled(entries)
        say(mixed.slice(0, 10))
        for (const entry of mixed.slice(10)) say([entry])
      },
      remove (recordName) { say([{ topic: 'record', action: 'delete', recordName }]) },
      settle: () => last,
      heard: () => texts.join('\n')
    }
  },
  async mqtt (t, server, { shuffled }) {
    const chunks = []
    const clients = []
    const client = async (options) => {
      const one = await connected(t, server, { username: 'eve', ...options })
      one.stream.on('data', (chunk) => chunks.push(chunk))
      clients.push(one)
      return one
    }
    const [old, present] = [await client({ protocolVersion: 4 }), await client({ protocolVersion: 5 })]
    let last = Promise.resolve()
    const tried = (what) => { last = last.then(what).catch(() => {}) }
    return {
      attack (name) {
        for (const one of [old, present]) {
          for (const filter of shuffled([name, '#', '+/+', 'd/+', 'd/#', `${name}/#`, '+', `+/${name.split('/')[1]}`])) tried(() => one.subscribeAsync(filter, { qos: 1 }))
          tried(() => one.publishAsync(name, '{"eve":1}', { qos: 1 }))
        }
        // A retained message is a record, and a will is one that a client leaves behind.
        tried(async () => {
          const dying = await client({ protocolVersion: 4, will: { topic: name, payload: '{"eve":1}', qos: 1, retain: true } })
          dying.stream.destroy()
        })
      },
      remove (name) { tried(() => old.publishAsync(name, '', { qos: 1, retain: true })) },
      async settle () {
        await last
        for (const one of [old, present]) await one.publishAsync('settled', '1', { qos: 1 })
      },
      heard: () => Buffer.concat(chunks).toString()
    }
  }
}

/** Who writes the documents, and knows their versions. */
class Boss {
  static async login (t, server, seed) {
    const boss = new Boss()
    boss.raw = await Raw.login(t, server, { username: 'boss' })
    boss.seed = seed
    boss.count = 0
    return boss
  }

  /** A text that stands nowhere else. */
  mark (name) {
    this.count += 1
    return `mark:${this.seed}:${name}:${this.count}:`
  }

  async acked (action, fields) {
    this.count += 1
    const correlationId = `boss${this.count}`
    this.raw.record(action, { ...fields, isWriteAck: true, correlationId })
    assertFields(await this.raw.next({ correlationId }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
  }

  async puts (name) {
    await this.acked(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify({ secret: this.mark(name), open: false, list: [this.mark(name)] }) })
    this.raw.record(RECORD.HEAD, { name })
    return (await this.raw.next({ action: RECORD.HEAD_RESPONSE, name })).version
  }

  /** All ways in which others are told of changes. */
  async changes (name) {
    await this.acked(RECORD.PATCH, { name, version: -1, path: 'more', data: JSON.stringify(this.mark(name)) })
    await this.acked(RECORD.PATCH_MULTI, { name, version: -1, data: JSON.stringify([{ path: 'a', data: this.mark(name) }, { path: 'b', data: 1 }]) })
    await this.acked(RECORD.PATCH, { name, version: -1, path: `by.${this.mark(name).replaceAll('.', '')}`, data: '1' })
    this.raw.record(RECORD.NOTIFY, { names: [name], correlationId: `n${this.count}` })
    await this.raw.next({ action: RECORD.NOTIFY, correlationId: `n${this.count}` })
  }
}

describe('nobody is told what they may not read', () => {
  for (const seed of SEEDS) {
    test(`rules and attacks of seed ${seed}`, async (t) => {
      const lots = dice(seed)
      const { names, closed, record } = drawn(lots)
      const server = await mqttServer(t, { memory: lots.roll(2) === 0, extra: { permission: { type: 'config', options: { permissions: permissions(record), maxRuleIterations: 5 } } } })
      const boss = await Boss.login(t, server, seed)
      await boss.acked(RECORD.CREATEANDUPDATE, { name: 'key', version: -1, data: '{"open":false,"next":"key"}' })
      for (const name of names) await boss.puts(name)
      const eves = []
      for (const [wire, begin] of Object.entries(WIRES)) eves.push([wire, await begin(t, server, lots)])
      for (const name of lots.shuffled(names)) {
        for (const [, eve] of eves) {
          const version = await boss.puts(name)
          eve.attack(name, version)
          await boss.changes(name)
        }
      }
      for (const [, eve] of eves) await eve.settle(names)
      for (const name of names) {
        for (const [, eve] of eves) {
          await boss.puts(name)
          eve.remove(name)
          await boss.changes(name)
        }
      }
      for (const [, eve] of eves) await eve.settle(names)
      for (const [wire, eve] of eves) {
        const heard = eve.heard()
        const told = names.filter((name) => heard.includes(`mark:${seed}:${name}:`))
        assert.deepEqual(told.filter((name) => closed.has(name)), [], `${wire}: told what ${JSON.stringify(told.map((name) => record[name]))} deny`)
        // A client that receives nothing at all proves nothing.
        assert.ok(told.length > 0, `${wire}: is told of nothing it may read either`)
      }
    })
  }
})

describe('a conflict on what one may write and not read', () => {
  let server
  const rules = (read) => permissions({ '*': { create: true, read: true, write: true, delete: true, notify: true, listen: true }, 'dropbox/*': { create: true, write: true, read } })
  const SECRET = '{"secret":"of the house"}'
  before(async () => {
    server = await Server.prepare({ extra: { permission: { type: 'config', options: { permissions: 'fileLoad(permissions.yml)' } } } })
    writeFileSync(path.join(server.directory, 'permissions.yml'), JSON.stringify(rules(BOSS)))
    await server.launch()
  })
  after(() => server?.discard())

  async function filled (t, name) {
    const boss = await Raw.login(t, server, { username: 'boss' })
    assertFields(await boss.ask(TOPIC.RECORD, { action: RECORD.CREATEANDUPDATE, name, version: -1, data: SECRET, isWriteAck: true, correlationId: '1' }, { name }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    return boss
  }

  test('says the version, and no more', async (t) => {
    const name = 'dropbox/1'
    const boss = await filled(t, name)
    const eve = await Raw.login(t, server, { username: 'eve' })
    const conflict = { action: RECORD.VERSION_EXISTS, name, version: 1, data: '{}' }
    const stale = { name, version: 1 }
    for (const said of [{ action: RECORD.UPDATE, data: '{}' }, { action: RECORD.PATCH, path: 'a', data: '1' }, { action: RECORD.CREATEANDUPDATE, data: '{}' }, { action: RECORD.CREATEANDPATCH, path: 'a', data: '1' }]) {
      assertFields(await eve.ask(TOPIC.RECORD, { ...stale, ...said }, { name }), conflict)
    }
    assertFields(await boss.ask(TOPIC.RECORD, { ...stale, action: RECORD.UPDATE, data: '{}' }, { name }), { ...conflict, data: SECRET })
    const json = await Json.login(t, server, { username: 'eve' })
    assertFields(await json.ask({ topic: TOPIC.RECORD, action: RECORD.UPDATE, name, version: 1, parsedData: {} }), { action: RECORD.VERSION_EXISTS, version: 1, parsedData: {} })
    const text = await Text.login(t, server, { username: 'eve' })
    assert.equal(await text.ask(`R|U|${name}|1|{}+`), `R|E|VERSION_EXISTS|${name}|1|{}+`)
    const write = (version) => ({ topic: 'record', action: 'write', recordName: name, version, data: {} })
    const over = async (username) => (await post(server, { authData: { username }, body: [write(1), write(9)] })).json.body
    for (const entry of await over('eve')) assert.deepEqual([entry.currentVersion, 'currentData' in entry], [1, false], JSON.stringify(entry))
    for (const entry of await over('boss')) assert.deepEqual([entry.currentVersion, entry.currentData], [1, JSON.parse(SECRET)])
    assertFields(await eve.ask(TOPIC.RECORD, { action: RECORD.PATCH, name, version: 2, path: 'mine', data: '1', isWriteAck: true, correlationId: '2' }, { name }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
  })

  test('keeps no client of either generation from going on', async (t) => {
    const swap = async (read) => {
      const before = server.log.length
      writeFileSync(path.join(server.directory, 'permissions.yml'), JSON.stringify(rules(read)))
      server.child.kill('SIGHUP')
      await until('the rules are read again', () => server.log.slice(before).includes('the configuration was read again'))
    }
    await swap('true')
    t.after(() => swap(BOSS))
    const names = { young: 'dropbox/young', old: 'dropbox/old' }
    const bosses = { young: await filled(t, names.young), old: await filled(t, names.old) }
    const young = await user(t, server, 'eve')
    const old = await oldLoggedIn(t, server, {}, { username: 'eve' })
    young.mayFail = old.mayFail = true
    const [record, oldRecord] = [await ready(young, names.young), await oldReady(old, names.old)]
    const refusals = []
    record.on('error', (...error) => refusals.push(error))
    await swap(BOSS)
    // Both are told that their subscriptions ended.
    await until('the young client is told', () => refusals.length > 0)
    await untilError(old, 'MESSAGE_DENIED')
    for (const [which, boss] of Object.entries(bosses)) {
      for (let round = 2; round < 6; round++) assertFields(await boss.ask(TOPIC.RECORD, { action: RECORD.UPDATE, name: names[which], version: round, data: `{"later":"secret ${round}"}`, isWriteAck: true, correlationId: `${round}` }, { name: names[which] }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    }
    // The first conflicts, and brings the version; the second counts on from it.
    record.set('mine', 1)
    await until('the young client has the version', () => record.version === 5)
    await within('its next write', record.setWithAck('also', 2))
    oldRecord.set('mine', 1)
    await until('the old client has the version', () => Number(oldRecord.version) === 5)
    await oldSet(oldRecord, 'also', 2)
    for (const [which, boss] of Object.entries(bosses)) {
      boss.record(RECORD.READ, { name: names[which] })
      assertFields(await boss.next({ action: RECORD.READ_RESPONSE }), { version: 6, data: '{"later":"secret 5","also":2}' })
    }
    assert.ok(!JSON.stringify([record.get(), oldRecord.get()]).includes('later'))
  })
})

describe('what is heard of records by other names', () => {
  test('an event, a call and a listener of its name bring nothing of the record', async (t) => {
    const server = await mqttServer(t, { extra: { permission: { type: 'config', options: { permissions: permissions({ '*': { create: true, read: BOSS, write: true, delete: true, notify: true, listen: true } }) } } } })
    const boss = await Boss.login(t, server, 0)
    const eve = await Raw.login(t, server, { username: 'eve' })
    const name = 'house'
    await eve.ask(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [name], correlationId: '1' }, { correlationId: '1' })
    await eve.ask(TOPIC.RECORD, { action: RECORD.SUBSCRIBE, names: [name], correlationId: '2' }, { correlationId: '2' })
    await boss.puts(name)
    await boss.changes(name)
    await eve.untilPong()
    assert.ok(!Buffer.concat(eve.frames).toString().includes('mark:'))
  })
})
