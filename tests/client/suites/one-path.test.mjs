// One path for both generations of clients, because /deepstream is the default of all. A client that speaks first is
// served in protobuf; one that is silent is spoken to in text.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { clientFor, loggedIn, subscribed, untilData, ready } from '../helpers/clients.mjs'
import { oldClientFor, oldLogin, oldReady } from '../helpers/old-clients.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { Raw } from '../helpers/raw.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { unique, until, within } from '../helpers/until.mjs'
import { AUTH, CONNECTION, TOPIC } from '../helpers/wire.mjs'

const PATH = '/deepstream'
const CHALLENGE = { action: CONNECTION.CHALLENGE, url: 'ws://h/deepstream', protocolVersion: '0.1a', sdkVersion: '7.1.0', sdkType: 'javascript' }
const IOS = { Origin: 'http://localhost', 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits; server_max_window_bits=15' }

describe('one path for both generations', { skip: REFERENCE }, () => {
  let server
  before(async () => { server = await Server.start({ textEndpoint: { textAfterSilence: 50 } }) })
  after(() => server.discard())

  test('who is silent is spoken to in text', async (t) => {
    const text = await Text.open(t, server, { path: PATH })
    assert.equal(await text.take(), 'C|CH+')
    assert.equal(await text.ask(`C|CHR|ws://${server.url}${PATH}+`), 'C|A+')
    assert.equal(await text.ask('A|REQ|{}+'), 'A|A+')
    assert.equal(await text.ask('U|S|S+'), 'U|A|S|S+')
  })

  test('who speaks text first is answered in text, after the greeting', async (t) => {
    const lasting = await serverFor(t, { textEndpoint: { textAfterSilence: 60000 } })
    const text = await Text.open(t, lasting, { path: PATH })
    text.say('A|REQ|{}+')
    await until('it is let in', () => text.received.length === 2)
    assert.deepEqual(text.received, ['C|CH+', 'A|A+'])
  })

  for (const [what, options] of [['Java', { protocolVersion: 8 }], ['iOS', { headers: IOS }]]) {
    test(`the SDK for ${what} is not waited for`, async (t) => {
      const lasting = await serverFor(t, { textEndpoint: { textAfterSilence: 60000 } })
      const text = await Text.login(t, lasting, {}, { path: PATH, ...options })
      assert.equal(await text.ask('U|S|S+'), 'U|A|S|U+')
    })
  }

  test('clients of both generations meet', async (t) => {
    const old = oldClientFor(t, server, {}, PATH)
    assert.equal((await oldLogin(old)).success, true)
    const current = await loggedIn(t, server)
    const heard = []
    await subscribed(current, 'meet', (data) => heard.push(data), old)
    await until('the event', () => { old.event.emit('meet', { from: 'old' }); return heard.some((data) => data?.from === 'old') })
    const name = unique('meet')
    const mine = await ready(current, name)
    const theirs = await oldReady(old, name)
    theirs.set({ by: 'old' })
    await untilData(mine, { by: 'old' })
  })

  test('who was only late is served in protobuf', async (t) => {
    const raw = await Raw.open(server, { path: PATH })
    t.after(() => raw.terminate())
    await until('it is spoken to in text', () => raw.received.length > 0)
    raw.received.length = 0
    raw.send(TOPIC.CONNECTION, CHALLENGE)
    assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })
    assert.equal((await raw.take()).action, AUTH.AUTH_SUCCESSFUL)
  })

  test('a late client of the current generation does not notice', async (t) => {
    const proxy = await Proxy.start(t, server)
    proxy.hold()
    const client = clientFor(t, proxy)
    const said = () => [...proxy.lines].map((line) => Buffer.concat(line.waiting).toString('latin1')).join('')
    await until('the server has spoken in text, unheard', () => said().includes('C\x1fCH\x1e'))
    proxy.release()
    await within('the login', client.login({}))
    const record = await ready(client, unique('late'))
    await within('the write', record.setWithAck({ late: true }))
    await untilData(record, { late: true })
  })

  test('where it is switched off, silence is waited out, and the log names the path', async (t) => {
    const strict = await serverFor(t, { textEndpoint: { textAfterSilence: 0 }, endpoint: { unauthenticatedClientTimeout: 200 } })
    const text = await Text.open(t, strict, { path: PATH })
    const { code } = await within('the close', text.closed)
    assert.equal(code, 1008)
    assert.ok(text.received.every((message) => !message.startsWith('C|')))
    await until('the line', () => strict.log.includes('want the path /deepstream-v3'))
    const early = await Text.open(t, strict, { path: PATH })
    early.say('A|REQ|{}+')
    assert.equal((await within('the close', early.closed)).code, 1003)
  })
})
