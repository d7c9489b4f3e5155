// How the text protocol begins, as each of its clients knows it: the server says a challenge and nothing else, accepts each answer to
// it, and takes a login without one.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CppClient } from '../helpers/cpp-client.mjs'
import { oldClientFor, oldLogin } from '../helpers/old-clients.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { unique, until, within } from '../helpers/until.mjs'

const PATHS = ['/deepstream-v3', '/deepstream']
const skip = REFERENCE
const textEndpoint = { textAfterSilence: 50 }
let server
before(async () => { server = await Server.start({ textEndpoint }) })
after(() => server.discard())

/** Challenged, and told nothing else. */
async function challenged (t, path, options = {}, from = server) {
  const text = await Text.open(t, from, { path, ...options })
  assert.equal(await text.take(), 'C|CH+')
  return text
}

describe('the C++ client', { skip }, () => {
  const ann = { username: 'ann', password: 'secret' }
  const users = { ann: { password: 'secret' }, bob: { password: 'secret', clientData: { colour: 'red' } } }
  const guarded = (t, rest = {}) => serverFor(t, { textEndpoint: { ...textEndpoint, ...rest }, extra: { auth: [{ type: 'file', options: { users } }] } })

  for (const path of PATHS) {
    test(`logs in on ${path}, whenever its app says so`, async (t) => {
      const own = await guarded(t)
      for (const early of [true, false]) {
        const client = await CppClient.open(t, own, path)
        if (!early) await until('it is accepted', () => client.state === 'AWAIT_AUTHENTICATION')
        assert.equal(await client.login(ann), undefined)
        assert.deepEqual(client.states, ['AWAIT_CONNECTION', 'CHALLENGING', 'CHALLENGING_WAIT', 'AWAIT_AUTHENTICATION', 'AUTHENTICATING', 'OPEN'])
        assert.deepEqual([client.told, client.errors], [['C|CH+', 'C|A+', 'A|A+'], []])
      }
      const bob = await CppClient.open(t, own, path)
      assert.equal(await bob.login({ ...ann, username: 'bob' }), 'O{"colour":"red"}')
      assert.deepEqual(bob.errors, [])
    })
  }

  test('hears of a login that is refused, of the last one, and of one that is none', async (t) => {
    const own = await guarded(t)
    const wrong = await CppClient.open(t, own, PATHS[0])
    await assert.rejects(wrong.login({ ...ann, password: 'x' }), { message: 'A|E|INVALID_AUTH_DATA' })
    const none = await CppClient.open(t, own, PATHS[0])
    await assert.rejects(none.login('"x"'), { message: 'A|E|INVALID_AUTH_MSG' })
    const strict = await guarded(t, { maxAuthAttempts: 1 })
    const last = await CppClient.open(t, strict, PATHS[0])
    await assert.rejects(last.login({ ...ann, password: 'x' }), { message: /^A\|E\|INVALID_AUTH_DATA/ })
    await last.untilTold('A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+')
    for (const client of [wrong, none, last]) {
      await within('the close', client.closed)
      assert.deepEqual(client.errors, [])
    }
  })

  test('has events, listeners, presence and heartbeats', async (t) => {
    const own = await serverFor(t, { textEndpoint: { ...textEndpoint, heartbeatInterval: 200 } })
    const [one, two] = [await CppClient.open(t, own, PATHS[0]), await CppClient.open(t, own, PATHS[1])]
    const heard = []
    const name = unique('cpp')
    // What is asked before the login is asked with it.
    one.subscribe(name, (value) => heard.push(value))
    two.emit(name, 'Searly')
    await one.login({ username: 'one' })
    await one.untilTold(`E|A|S|${name}+`)
    const seen = []
    one.watch((user, came) => seen.push([user, came]))
    await one.untilTold('U|A|S|S+')
    await two.login({ username: 'two' })
    await until('the event that waited for the login', () => heard.length === 1)
    two.emit(name, 'N1.5')
    two.emit(name, 'O{"a":[1]}')
    await until('the events', () => heard.length === 3)
    assert.deepEqual(heard, ['Searly', 'N1.5', 'O{"a":[1]}'])
    await until('who came', () => seen.length === 1)
    assert.deepEqual(await one.everybody(), ['two'])

    const asked = []
    one.listen('provided/.*', (match, wanted) => asked.push([match, wanted]))
    await one.untilTold('E|A|L|provided/.*+')
    two.subscribe('provided/1', () => {})
    await two.untilTold('E|A|S|provided/1+')
    await until('it is asked to provide', () => asked.length === 1)
    two.listen('other/.*', () => false)
    await two.untilTold('E|A|L|other/.*+')
    one.subscribe('other/1', () => {})
    await two.untilTold('E|SP|other/.*|other/1+')
    two.unsubscribe('provided/1')
    await two.untilTold('E|A|US|provided/1+')

    const pings = (client) => client.told.filter((message) => message === 'C|PI+').length
    await until('heartbeats', () => pings(one) >= 5 && pings(two) >= 5)
    await two.close()
    await until('who left', () => seen.length === 2)
    assert.deepEqual(seen, [['two', true], ['two', false]])
    one.unwatch()
    await one.untilTold('U|A|US|US+')
    assert.deepEqual(await one.everybody(), [])
    for (const client of [one, two]) assert.deepEqual(client.errors, [])
    assert.equal(one.state, 'OPEN')
  })
})

describe('the other clients', { skip }, () => {
  for (const path of PATHS) {
    test(`nothing but the challenge is said on ${path} until it is answered, and each answer is accepted`, async (t) => {
      const text = await challenged(t, path)
      assert.deepEqual(await text.untilPong(), [])
      assert.equal(await text.ask('C|CHR+'), 'C|A+')
      assert.equal(await text.ask(`C|CHR|ws://${server.url}${path}+`), 'C|A+')
      assert.deepEqual(await text.untilPong(), [])
      assert.equal(await text.ask('A|REQ|{}+'), 'A|A+')
    })

    test(`on ${path} an answer after the login is passed over`, async (t) => {
      const text = await challenged(t, path)
      assert.equal(await text.ask('A|REQ|{}+'), 'A|A+')
      for (const answer of ['C|CHR+', `C|CHR|${server.url}+`, `C|CHR|ws://${server.url}${path}+`]) text.say(answer)
      assert.deepEqual(await text.untilPong(), [])
      assert.equal(await text.ask('U|S|S+'), 'U|A|S|S+')
    })
  }

  test('Ruby: what it has queued goes out in any order', async (t) => {
    const url = `ws://${server.url}/deepstream-v3`
    const text = await challenged(t, '/deepstream-v3')
    assert.equal(await text.ask(`C|CHR|${url}+`), 'C|A+')
    assert.equal(await text.ask('A|REQ|{}+'), 'A|A+')
    // A login has priority in its queue: it overtakes the answer that waits there, in one frame or in two.
    for (const frames of [['A|REQ|{}+', `C|CHR|${url}+`], [`A|REQ|{}+C|CHR|${url}+`]]) {
      const early = await challenged(t, '/deepstream-v3')
      for (const frame of frames) early.say(frame)
      assert.equal(await early.take(), 'A|A+')
      assert.equal(await early.ask('E|S|ruby+'), 'E|A|S|ruby+')
    }
  })

  test('Python: presence is asked for with the word of its topic', async (t) => {
    const text = await challenged(t, '/deepstream')
    assert.equal(await text.ask(`C|CHR|ws://${server.url}/deepstream+`), 'C|A+')
    assert.equal(await text.ask('A|REQ|{"username":"ann"}+'), 'A|A+')
    assert.match(await text.ask('U|S|U+'), /^U\|A\|S\|[SU]\+$/)
    assert.match(await text.ask('U|US|+'), /^U\|A\|US\|(US|U)\+$/)
    assert.equal(await text.ask('E|S|python+'), 'E|A|S|python+')
  })

  test('a refused login may be said again, with or without another answer to the challenge', async (t) => {
    const own = await serverFor(t, { textEndpoint: { maxAuthAttempts: 3 }, extra: { auth: [{ type: 'file', options: { users: { ann: { password: 'x' } } } }] } })
    const text = await challenged(t, '/deepstream-v3', {}, own)
    assert.equal(await text.ask('C|CHR|ws://h+'), 'C|A+')
    for (const again of [undefined, 'C|CHR|ws://h+']) {
      text.say('A|REQ|{"username":"ann","password":"y"}+')
      await text.next('A|E|INVALID_AUTH_DATA|')
      if (again) assert.equal(await text.ask(again), 'C|A+')
    }
    assert.equal(await text.ask('A|REQ|{"username":"ann","password":"x"}+'), 'A|A+')
  })

  test('JavaScript goes through every state on both paths', async (t) => {
    for (const path of PATHS) {
      const client = oldClientFor(t, server, {}, path)
      const states = []
      client.on('connectionStateChanged', (state) => states.push(state))
      assert.equal((await oldLogin(client)).success, true)
      assert.deepEqual(states.slice(-4), ['CHALLENGING', 'AWAITING_AUTHENTICATION', 'AUTHENTICATING', 'OPEN'])
      assert.deepEqual(client.errors, [])
    }
  })
})

describe('the SDK for iOS', { skip }, () => {
  const IOS = { Origin: 'http://localhost:6020', 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits; server_max_window_bits=15' }
  // With its offer of compression it is known by its handshake; the WebSocket of old apps made none.
  for (const [what, headers] of [['of today', IOS], ['of before it offered compression', { Origin: IOS.Origin }]]) {
    for (const path of PATHS) {
      test(`${what}: challenge, login, presence and its own close on ${path}`, async (t) => {
        const watcher = await challenged(t, path)
        await watcher.ask(`C|CHR|ws://${server.url}+`)
        await watcher.ask('A|REQ|{}+')
        await watcher.ask('U|S|S+')
        const text = await Text.open(t, server, { path, headers })
        assert.equal(text.socket.extensions, '', 'what it offers is declined, and never used')
        assert.equal(await text.take(), 'C|CH+')
        // The URL as its app wrote it.
        assert.equal(await text.ask(`C|CHR|${server.url}+`), 'C|A+')
        const user = unique('ios')
        assert.equal(await text.ask(`A|REQ|{"username":"${user}"}+`), 'A|A+')
        assert.equal(await watcher.take(), `U|PNJ|${user}+`)
        assert.equal(await text.ask('U|S|S+'), 'U|A|S|U+')
        assert.equal(await text.ask('U|US|US+'), 'U|A|US|U+')
        assert.equal(await text.ask('E|S|ios+'), 'E|A|S|ios+')
        // Code 1 is none that may be sent; its user leaves all the same.
        text.socket._socket.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0, 1]))
        await within('the close', text.closed)
        assert.equal(await watcher.take(), `U|PNL|${user}+`)
      })
    }
  }

  test('an app that writes its URL with a scheme cannot be told from JavaScript, and is served', async (t) => {
    const text = await challenged(t, '/deepstream', { headers: { Origin: IOS.Origin } })
    assert.equal(await text.ask(`C|CHR|ws://${server.url}+`), 'C|A+')
    assert.equal(await text.ask('A|REQ|{}+'), 'A|A+')
    assert.equal(await text.ask('U|S|S+'), 'U|A|S|S+')
  })
})
