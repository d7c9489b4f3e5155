// Who may do what: every kind of rule allowed and denied, through both generations of the official client; bulk messages
// name by name on the wire; references to records of any shard; rules that change while the server runs.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready, user } from '../helpers/clients.mjs'
import { oldLoggedIn, oldReady } from '../helpers/old-clients.mjs'
import { Raw } from '../helpers/raw.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { atEnd, until, unique, within } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE
const ANN = "user.id === 'ann'"
const ALL = {
  record: { create: true, read: true, write: true, delete: true, listen: true, notify: true },
  event: { publish: true, subscribe: true, listen: true },
  rpc: { provide: true, request: true },
  presence: { allow: true }
}

/** Everything is allowed but what these say: section → path → type → rule. */
function rules (more = {}) {
  const sections = Object.entries(ALL).map(([section, open]) => [section, { '*': open, ...more[section] }])
  return Object.fromEntries(sections)
}

const permission = (permissions, options = {}) => ({ permission: { type: 'config', options: { permissions, ...options } } })

const RULES = rules({
  record: {
    'create/*': { create: ANN },
    'read/*': { read: ANN },
    'write/*': { write: ANN },
    'delete/*': { delete: ANN },
    'own/$owner/*': { write: '$owner === user.id' },
    'bid/*': { write: 'data.price > 0 && (oldData === null || oldData.price === undefined || data.price > oldData.price)' },
    'frozen/*': { write: 'data.kind === "note"' },
    'door/$key': { read: "_('key/' + $key).open" },
    'locked/$key': { create: "_('key/' + $key).open", write: "_('key/' + $key).open && data.n < 10", delete: "_('key/' + $key).open" },
    'listened/.*': { listen: ANN },
    'notified/*': { notify: ANN }
  },
  event: { 'news/*': { publish: ANN, subscribe: ANN }, 'news/.*': { listen: ANN }, 'priced/*': { publish: 'data.price < 10' } },
  rpc: { 'sums/*': { provide: ANN, request: 'data.ok' } },
  presence: { eve: { allow: ANN } }
})

let server
before(async () => { if (!skip) server = await Server.start({ extra: permission(RULES) }) })
after(() => server?.discard())

async function people (t, on = server) {
  const [ann, eve] = [await user(t, on, 'ann'), await user(t, on, 'eve')]
  eve.mayFail = true
  return [ann, eve]
}

/** Waits for an error event that says so, and forgets it. */
async function told (client, event = 'MESSAGE_DENIED') {
  await until(`the client is told ${event}`, () => client.errors.some((error) => error.event === event))
  client.errors.length = 0
}

const denied = (promise) => assert.rejects(within('a denial', promise), (error) => String(error?.message ?? error).includes('MESSAGE_DENIED'))

describe('the official client is told what it may not', { skip }, () => {
  test('create and read', async (t) => {
    const [ann, eve] = await people(t)
    for (const kind of ['create', 'read']) {
      const name = unique(`${kind}/one`)
      const record = eve.record.getRecord(name)
      const errors = []
      record.on('error', (...args) => errors.push(args.map(String).join(' ')))
      await until('the record is told', () => errors.some((text) => text.includes('MESSAGE_DENIED')))
      await ready(ann, name)
    }
    await denied(eve.record.snapshot(unique('read/x')))
    await denied(eve.record.head(unique('read/x')))
    await denied(eve.record.setDataWithAck(unique('create/x'), { a: 1 }))
    await within('a write', ann.record.setDataWithAck(unique('create/x'), { a: 1 }))
  })

  test('writes of every form', async (t) => {
    const [ann, eve] = await people(t)
    const name = unique('write/doc')
    const mine = await ready(ann, name)
    await within('a write', mine.setWithAck({ a: 1, list: [1] }))
    // A record that its client does not know, so that nothing of the write is the library's.
    await denied(eve.record.setDataWithAck(name, { a: 2 }))
    await denied(eve.record.setDataWithAck(name, 'a', 2))
    const other = await user(t, server, 'eve')
    other.mayFail = true
    const theirs = await ready(other, name)
    await denied(theirs.setWithAck({ a: 4 }))
    eve.record.setData(name, { a: 3 })
    await told(eve)
    assert.deepEqual(await within('a snapshot', ann.record.snapshot(name)), { a: 1, list: [1] })
    await within('a write', mine.setWithAck('a', 5))
    await within('a write', mine.setWithAck('list[1]', 2))
    await within('an erasure', new Promise((resolve) => { mine.set('a', undefined, (error) => resolve(error)) }))
    assert.deepEqual(await within('a snapshot', ann.record.snapshot(name)), { list: [1, 2] })
  })

  test('erasing is deleting, deleting is not writing', async (t) => {
    const [ann, eve] = await people(t)
    const name = unique('delete/doc')
    const mine = await ready(ann, name)
    await within('a write', mine.setWithAck({ a: 1, b: 1 }))
    const theirs = await ready(eve, name)
    await within('a write', theirs.setWithAck('a', 2))
    const errors = []
    theirs.on('error', (...args) => errors.push(args.map(String).join(' ')))
    theirs.erase('b')
    await until('the record is told', () => errors.some((text) => text.includes('MESSAGE_DENIED')))
    await denied(theirs.delete())
    await until('nothing was erased', async () => (await ann.record.snapshot(name)).b === 1)
    await within('the deletion', mine.delete())
  })

  test('a rule sees the variables of its path, and what a write leads to and comes from', async (t) => {
    const [ann, eve] = await people(t)
    await within('a write', eve.record.setDataWithAck(unique('own/eve/a'), { a: 1 }))
    await denied(eve.record.setDataWithAck(unique('own/ann/a'), { a: 1 }))
    const bid = unique('bid/1')
    await within('a write', ann.record.setDataWithAck(bid, { price: 5 }))
    await denied(eve.record.setDataWithAck(bid, { price: 5 }))
    await denied(eve.record.setDataWithAck(bid, 'price', 4))
    await within('a write', eve.record.setDataWithAck(bid, 'price', 6))
    const frozen = unique('frozen/1')
    await within('a write', ann.record.setDataWithAck(frozen, { kind: 'note', text: 'a' }))
    // The patch alone says nothing of the kind.
    await within('a write', ann.record.setDataWithAck(frozen, 'text', 'b'))
    await denied(eve.record.setDataWithAck(frozen, 'kind', 'other'))
  })

  test('a rule refers to records, wherever they live', async (t) => {
    const [ann, eve] = await people(t)
    for (let index = 0; index < 12; index++) {
      const key = unique('k').replaceAll('/', '-')
      await within('a write', ann.record.setDataWithAck(`key/${key}`, { open: false }))
      await within('a write', ann.record.setDataWithAck(`door/${key}`, { behind: index }))
      await denied(eve.record.snapshot(`door/${key}`))
      await within('a write', ann.record.setDataWithAck(`key/${key}`, 'open', true))
      assert.deepEqual(await within('a snapshot', eve.record.snapshot(`door/${key}`)), { behind: index })
    }
    await assert.rejects(within('an error', eve.record.snapshot(unique('door/none').replace('none/', 'none-'))), (error) => String(error?.message ?? error).includes('MESSAGE_PERMISSION_ERROR'))
  })

  test('events', async (t) => {
    const [ann, eve] = await people(t)
    const name = unique('news/a')
    const heard = []
    ann.event.subscribe(name, (data) => heard.push(data))
    eve.event.subscribe(name, (data) => heard.push(`eve ${data}`))
    await told(eve)
    eve.event.emit(name, 'no')
    await told(eve)
    const other = await user(t, server, 'ann')
    other.event.emit(name, 'yes')
    await until('it arrives', () => heard.includes('yes'))
    const priced = unique('priced/a')
    ann.event.subscribe(priced, (data) => heard.push(data.price))
    eve.event.emit(priced, { price: 11 })
    await told(eve)
    eve.event.emit(priced, undefined)
    // What the library makes of an error that it has no words for.
    await told(eve, 'UNSOLICITED_MESSAGE')
    await until('the subscription is there', () => { eve.event.emit(priced, { price: 9 }); return heard.includes(9) })
    assert.ok(!heard.includes(11) && !heard.some((data) => String(data).startsWith('eve') || data === 'no'))
    eve.event.listen('news/.*', () => {})
    await told(eve)
    ann.event.listen('news/.*', (subject, response) => response.reject())
    eve.record.notify([unique('notified/a')], () => {})
    await told(eve)
  })

  test('calls and presence', async (t) => {
    const [ann, eve] = await people(t)
    const name = unique('sums/add')
    eve.rpc.provide(name, () => {})
    await told(eve)
    ann.rpc.provide(name, (data, response) => response.send(data.a + 1))
    await until('the provider is there', async () => (await eve.rpc.make(name, { ok: true, a: 1 }).catch(() => 0)) === 2)
    await assert.rejects(within('a denial', eve.rpc.make(name, { ok: false })), (error) => String(error?.message ?? error).includes('MESSAGE_DENIED'))
    eve.presence.subscribe('eve', () => {})
    await told(eve)
    await denied(eve.presence.getAll(['eve']))
    assert.deepEqual(await within('an answer', ann.presence.getAll(['eve'])), { eve: true })
  })
})

// The library takes no notice of it, and waits for an acknowledgement that never comes.
test('listening to records, on the wire', { skip }, async (t) => {
  for (const [username, action] of [['eve', RECORD.MESSAGE_DENIED], ['ann', RECORD.LISTEN]]) {
    const raw = await Raw.login(t, server, { username })
    raw.record(RECORD.LISTEN, { name: 'listened/.*' })
    const answer = await raw.take()
    assert.deepEqual([answer.topic, answer.action, answer.name], [TOPIC.RECORD, action, 'listened/.*'])
  }
})

test('of a bulk message exactly the denied names are denied, on the wire', { skip }, async (t) => {
  const raw = await Raw.login(t, server, { username: 'eve' })
  const [open, shut] = [unique('open'), unique('news/b')]
  raw.event(EVENT.SUBSCRIBE, { names: [shut, open], correlationId: '3' })
  const answers = [await raw.take(), await raw.take()].sort((a, b) => a.action - b.action)
  assert.deepEqual(answers[0], { topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE, correlationId: '3', isAck: true })
  const { topic, action, name, correlationId, isError, originalAction } = answers[1]
  assert.deepEqual({ topic, action, name, correlationId, isError, originalAction }, { topic: TOPIC.EVENT, action: EVENT.MESSAGE_DENIED, name: shut, correlationId: '3', isError: true, originalAction: EVENT.SUBSCRIBE })
})

test('of names on many shards exactly those are denied whose keys, on others, are shut', { skip }, async (t) => {
  const [ann, eve] = [await Raw.login(t, server, { username: 'ann' }), await Raw.login(t, server, { username: 'eve' })]
  const names = { open: [], shut: [] }
  for (let index = 0; index < 16; index++) {
    const [key, state] = [unique('b').replaceAll('/', '-'), index % 2 ? 'open' : 'shut']
    for (const [name, data] of [[`key/${key}`, { open: index % 2 === 1 }], [`door/${key}`, { behind: index }]]) {
      await ann.ask(TOPIC.RECORD, { action: RECORD.CREATEANDUPDATE, name, version: -1, data: JSON.stringify(data), isWriteAck: true, correlationId: name }, { action: RECORD.WRITE_ACKNOWLEDGEMENT, name })
    }
    names[state].push(`door/${key}`)
  }
  const all = [...names.open, ...names.shut].sort()
  for (const [action, yes] of [[RECORD.SUBSCRIBECREATEANDREAD, RECORD.READ_RESPONSE], [RECORD.SUBSCRIBEANDREAD, RECORD.READ_RESPONSE], [RECORD.SUBSCRIBEANDHEAD, RECORD.HEAD_RESPONSE_BULK]]) {
    const raw = await Raw.login(t, server, { username: 'eve' })
    raw.record(action, { names: all, correlationId: 'c' })
    const heard = (wanted) => raw.received.filter((message) => message.action === wanted).flatMap((message) => message.name ?? Object.keys(message.versions)).sort()
    await until(`all of ${action} are answered`, () => heard(yes).length + heard(RECORD.MESSAGE_DENIED).length >= all.length)
    assert.deepEqual([heard(yes), heard(RECORD.MESSAGE_DENIED)], [names.open.sort(), names.shut.sort()])
    raw.terminate()
  }
  // What was denied is not subscribed to: of a change, only those who may read are told.
  eve.record(RECORD.SUBSCRIBECREATEANDREAD, { names: all, correlationId: 'c' })
  await until('all are answered', () => eve.received.filter((message) => [RECORD.READ_RESPONSE, RECORD.MESSAGE_DENIED].includes(message.action)).length >= all.length)
  eve.received.length = 0
  for (const name of all) {
    await ann.ask(TOPIC.RECORD, { action: RECORD.CREATEANDUPDATE, name, version: -1, data: '{"changed":1}', isWriteAck: true, correlationId: name }, { action: RECORD.WRITE_ACKNOWLEDGEMENT, name })
  }
  await until('eve is told', () => eve.received.filter((message) => message.action === RECORD.UPDATE).length >= names.open.length)
  assert.deepEqual((await eve.untilPong()).map((message) => message.name).sort(), names.open)
})

test('every form of a write is judged by a record that lives elsewhere', { skip }, async (t) => {
  const [ann, eve] = [await Raw.login(t, server, { username: 'ann' }), await Raw.login(t, server, { username: 'eve' })]
  const put = (name, data) => ann.ask(TOPIC.RECORD, { action: RECORD.CREATEANDUPDATE, name, version: -1, data: JSON.stringify(data), isWriteAck: true, correlationId: name }, { action: RECORD.WRITE_ACKNOWLEDGEMENT, name })
  const acked = (fields) => ({ isWriteAck: true, correlationId: 'c', ...fields })
  const forms = {
    CREATEANDUPDATE: (n) => acked({ action: RECORD.CREATEANDUPDATE, version: -1, data: JSON.stringify({ n }) }),
    UPDATE: (n) => acked({ action: RECORD.UPDATE, version: 2, data: JSON.stringify({ n }) }),
    PATCH: (n) => acked({ action: RECORD.PATCH, version: 3, path: 'n', data: JSON.stringify(n) }),
    PATCH_MULTI: (n) => acked({ action: RECORD.PATCH_MULTI, version: 4, data: JSON.stringify([{ path: 'a', data: 1 }, { path: 'n', data: n }]) }),
    CREATEANDPATCH: (n) => acked({ action: RECORD.CREATEANDPATCH, version: -1, path: 'n', data: JSON.stringify(n) }),
    ERASE: () => acked({ action: RECORD.ERASE, version: 6, path: 'a' }),
    DELETE: () => ({ action: RECORD.DELETE })
  }
  const verdict = async (fields, name) => {
    eve.send(TOPIC.RECORD, { ...fields, name })
    const { action, isError, originalAction } = await eve.next({ topic: TOPIC.RECORD, name })
    if (action === RECORD.MESSAGE_DENIED) assert.equal(originalAction, fields.action)
    else assert.ok(!isError, JSON.stringify({ action, originalAction, form: fields.action }))
    return action === RECORD.MESSAGE_DENIED ? 'denied' : 'allowed'
  }
  for (let index = 0; index < 8; index++) {
    const key = unique('w').replaceAll('/', '-')
    const name = `locked/${key}`
    for (const [form, of] of Object.entries(forms)) {
      await put(`key/${key}`, { open: false })
      assert.equal(await verdict(of(1), name), 'denied', `${form}, shut`)
      await put(`key/${key}`, { open: true })
      if (!['ERASE', 'DELETE'].includes(form)) assert.equal(await verdict(of(10), name), 'denied', `${form}, too much`)
      assert.equal(await verdict(of(1), name), 'allowed', `${form}, open`)
    }
  }
})

test('the third generation of the client is told in its own words', { skip }, async (t) => {
  const ann = await oldLoggedIn(t, server, {}, { username: 'ann' })
  const eve = await oldLoggedIn(t, server, {}, { username: 'eve' })
  eve.mayFail = true
  const name = unique('write/old')
  const mine = await oldReady(ann, name)
  mine.set({ a: 1 })
  const theirs = await oldReady(eve, name)
  theirs.set('a', 2)
  await told(eve)
  eve.event.emit(unique('news/old'), 1)
  await told(eve)
  eve.event.subscribe(unique('news/old'), () => {})
  await told(eve)
  eve.record.getRecord(unique('read/old'))
  await told(eve)
  eve.rpc.provide(unique('sums/old'), () => {})
  await told(eve)
  const error = await within('an answer', new Promise((resolve) => eve.rpc.make(unique('sums/old'), { ok: false }, resolve)))
  assert.match(String(error), /MESSAGE_DENIED/)
  await until('nothing was written', async () => mine.get('a') === 1)
})

describe('rules that change while the server runs', { skip }, () => {
  const fileOf = (server) => path.join(server.directory, 'permissions.yml')

  async function changing (t, first) {
    const prepared = await Server.prepare({ extra: permission('fileLoad(permissions.yml)'), logLevel: 0 })
    writeFileSync(fileOf(prepared), JSON.stringify(first))
    atEnd(t, () => prepared.discard())
    await prepared.launch()
    return prepared
  }

  async function reload (server, rules, text = 'the configuration was read again') {
    const before = server.log.split(text).length
    writeFileSync(fileOf(server), typeof rules === 'string' ? rules : JSON.stringify(rules))
    server.child.kill('SIGHUP')
    await until(`the log says ${text}`, () => server.log.split(text).length > before)
  }

  test('end what they do not allow, and let it begin again', async (t) => {
    const server = await changing(t, rules())
    const [ann, eve] = [await user(t, server, 'ann'), await user(t, server, 'eve')]
    eve.mayFail = true
    const heard = { ann: [], eve: [] }
    ann.event.subscribe('news', (data) => heard.ann.push(data))
    eve.event.subscribe('news', (data) => heard.eve.push(data))
    const other = await user(t, server, 'other')
    await until('both hear', () => { other.event.emit('news', 0); return heard.ann.length > 0 && heard.eve.length > 0 })
    const [mine, theirs] = [await ready(ann, 'doc'), await ready(eve, 'doc')]
    await reload(server, rules({ event: { news: { subscribe: ANN } }, record: { doc: { read: `${ANN} && oldData !== null` } } }))
    await until('both subscriptions ended', () => eve.errors.filter((error) => error.event === 'MESSAGE_DENIED').length >= 2)
    heard.ann.length = heard.eve.length = 0
    other.event.emit('news', 'after')
    const writer = await ready(other, 'other')
    await within('a write', writer.setWithAck({ a: 1 }))
    await within('a write', other.record.setDataWithAck('doc', { a: 1 }))
    await until('ann hears and sees it', () => heard.ann.includes('after') && mine.get('a') === 1)
    assert.deepEqual(heard.eve, [])
    assert.deepEqual(theirs.get(), {})
    await reload(server, rules())
    const again = []
    eve.event.unsubscribe('news')
    eve.event.subscribe('news', (data) => again.push(data))
    await until('it hears again', () => { other.event.emit('news', 1); return again.length > 0 })
  })

  test('are refused whole if one of them is wrong', async (t) => {
    const server = await changing(t, rules({ event: { news: { publish: ANN } } }))
    const eve = await user(t, server, 'eve')
    eve.mayFail = true
    await reload(server, rules({ event: { news: { publish: 'alert(1)' } } }), 'the configuration was refused')
    assert.match(server.log, /permissions\.yml:1:\d+: event "news" publish: function alert is not supported/)
    eve.event.emit('news', 1)
    await told(eve)
    // The log of level DEBUG says which rule it was; the client is not told.
    await until('the denial is explained', () => /eve may not EMIT news: event "news" publish at 1:\d+/.test(server.log))
    assert.match(readFileSync(fileOf(server), 'utf8'), /alert/)
  })
})

describe('a candidate beside the rules in force', { skip }, () => {
  const live = rules({ event: { news: { publish: ANN } }, record: { 'vault/*': { read: "_('key').open" } } })
  const candidate = rules({ event: { news: { publish: true }, quiet: { publish: 'data.a.b' } }, record: { 'door/*': { read: "_('key').open" }, 'vault/*': { read: "_('key').shut === true" } } })
  const reloaded = 'the configuration was read again'

  async function shadowed (t, samplesPerMinute = 10) {
    const extra = permission('fileLoad(permissions.yml)', { shadow: { permissions: 'fileLoad(candidate.yml)', samplesPerMinute } })
    const prepared = await Server.prepare({ extra })
    prepared.put = (name, text) => writeFileSync(path.join(prepared.directory, name), typeof text === 'string' ? text : JSON.stringify(text))
    prepared.put('permissions.yml', live)
    prepared.put('candidate.yml', candidate)
    atEnd(t, () => prepared.discard())
    await prepared.launch()
    return prepared
  }

  async function reload (server, text = reloaded) {
    const before = server.log.split(text).length
    server.child.kill('SIGHUP')
    await until(`the log says ${text}`, () => server.log.split(text).length > before)
  }

  /** Counters of all shards together. */
  async function counters (server) {
    server.reports += 1
    const line = new RegExp(`COUNTERS \\| report=${server.reports} shard=\\d+ (.*)`, 'g')
    server.child.kill('SIGUSR1')
    const told = await until('every shard tells what it did', () => {
      const lines = [...server.log.matchAll(line)]
      return lines.length === server.shards && lines
    })
    const sum = {}
    for (const field of told.flatMap(([, fields]) => fields.split(' '))) {
      const [name, number] = field.split('=')
      sum[name] = (sum[name] ?? 0) + Number(number)
    }
    return sum
  }

  /** Clients first: whoever is left would try to come back. */
  async function ended (server, ...clients) {
    for (const client of clients) client.close()
    await until('they are gone', async () => (await server.census()).connections === 0)
    await server.end()
  }

  test('changes no answer, and what it would change is counted and told by file and line', async (t) => {
    const server = await shadowed(t)
    await until('the log says what is beside what', () => /permission ready: .* rules of \S*permissions\.yml; beside them .* rules of \S*candidate\.yml/.test(server.log))
    const [ann, eve] = await people(t, server)
    const heard = []
    ann.event.subscribe('news', (data) => heard.push(data))
    ann.event.subscribe('quiet', (data) => heard.push(data))
    const other = await user(t, server, 'ann')
    await until('ann hears', () => { other.event.emit('news', 'a'); return heard.length > 0 })
    assert.equal((await counters(server)).shadow_would_allow, 0)
    eve.event.emit('news', 'b')
    await told(eve)
    assert.ok(!heard.includes('b'))
    await until('it is told', () => /eve EMIT news: denies by \S*permissions\.yml:1:\d+ \(event "news" publish\), allows by \S*candidate\.yml:1:\d+ \(event "news" publish\)/.test(server.log))
    eve.event.emit('quiet', 'c')
    await until('what only the candidate fails at arrives', () => heard.includes('c'))
    await until('and is told', () => /eve EMIT quiet: allows by .*, fails by \S*candidate\.yml:1:\d+ \(event "quiet" publish\): TypeError/.test(server.log))
    const seen = await counters(server)
    assert.deepEqual([seen.shadow_would_allow, seen.shadow_would_deny, seen.shadow_would_fail], [1, 1, 1])
    assert.ok(seen.shadow_judged > 3)
    // The key is where it is: at hand on its own core, and nowhere else.
    await within('a write', ann.record.setDataWithAck('key', { open: true }))
    for (let index = 0; index < 16; index++) await within('a write', ann.record.setDataWithAck(`door/${index}`, { index }))
    for (let index = 0; index < 16; index++) assert.deepEqual(await within('a snapshot', eve.record.snapshot(`door/${index}`)), { index })
    const after = await counters(server)
    assert.equal(after.shadow_would_deny, 1)
    assert.equal(after.shadow_undecided > 0, server.shards > 1, JSON.stringify(after))
    // What the rules in force had to look for is at hand everywhere.
    for (let index = 0; index < 16; index++) await within('a write', ann.record.setDataWithAck(`vault/${index}`, { index }))
    const between = await counters(server)
    for (let index = 0; index < 16; index++) assert.deepEqual(await within('a snapshot', eve.record.snapshot(`vault/${index}`)), { index })
    const last = await counters(server)
    assert.equal(last.shadow_would_deny - between.shadow_would_deny, 16, JSON.stringify(last))
    assert.equal(last.shadow_undecided, between.shadow_undecided)
    await ended(server, ann, eve, other)
    assert.match(server.log, /PERMISSION_SHADOW \| \S*candidate\.yml was asked \d+ times on this core: it would allow \d+ that are denied, deny \d+ that are allowed/)
  })

  test('comes, changes and goes with SIGHUP, and a broken one refuses all', async (t) => {
    const server = await shadowed(t, 1)
    const [ann, eve] = await people(t, server)
    server.put('candidate.yml', rules({ event: { news: { publish: 'alert(1)' } } }))
    server.put('permissions.yml', rules())
    await reload(server, 'the configuration was refused')
    await until('the log says where', () => /candidate\.yml:1:\d+: event "news" publish: function alert is not supported/.test(server.log))
    eve.event.emit('news', 1)
    await told(eve)
    const before = await counters(server)
    assert.equal(before.shadow_would_allow, 1)
    // It agrees from here on.
    server.put('permissions.yml', live)
    server.put('candidate.yml', live)
    await reload(server)
    eve.event.emit('news', 1)
    await told(eve)
    const agreed = await counters(server)
    assert.equal(agreed.shadow_would_allow, 1)
    assert.ok(agreed.shadow_judged > before.shadow_judged)
    // And is gone from here on.
    const text = readFileSync(server.config, 'utf8')
    const config = JSON.parse(text)
    delete config.permission.options.shadow
    writeFileSync(server.config, JSON.stringify(config))
    await reload(server)
    await until('it is summed up', () => /PERMISSION_SHADOW \| \S*candidate\.yml was asked \d+ times/.test(server.log))
    eve.event.emit('news', 1)
    await told(eve)
    assert.equal((await counters(server)).shadow_judged, agreed.shadow_judged)
    // It may come to a server that had none.
    writeFileSync(server.config, text)
    server.put('candidate.yml', rules())
    await reload(server)
    for (let index = 0; index < 5; index++) {
      eve.event.emit('news', 1)
      await told(eve)
    }
    await until('the rest is counted at the end', async () => (await counters(server)).shadow_would_allow === 6)
    await ended(server, ann, eve)
    assert.equal(server.log.split('eve EMIT news: denies by').length - 1, 2, 'one a minute of each candidate')
    assert.match(server.log, /PERMISSION_SHADOW \| 4 messages more are judged otherwise on this core/)
  })
})

test('users of a file bring their serverData', { skip }, async (t) => {
  const users = { ann: { password: 'a', serverData: { role: 'admin' } }, eve: { password: 'e' } }
  const server = await serverFor(t, { extra: { auth: [{ type: 'file', options: { users } }], ...permission(rules({ event: { news: { publish: "user.data.role === 'admin'" } } })) } })
  const ann = await loggedIn(t, server, {}, { username: 'ann', password: 'a' })
  const eve = await loggedIn(t, server, {}, { username: 'eve', password: 'e' })
  eve.mayFail = true
  eve.event.emit('news', 1)
  await told(eve, 'UNSOLICITED_MESSAGE')
  const heard = []
  eve.event.subscribe('news', (data) => heard.push(data))
  await until('it arrives', () => { ann.event.emit('news', 2); return heard.includes(2) })
})
