// The text protocol message by message: what is answered to what, to the byte.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { batch } from '../helpers/http.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { LIVELY, REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { until, unique, within } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const login = (t, from = server) => Text.login(t, from)

/** A connection that has the record, with what it was told taken. */
async function holder (t, name) {
  const text = await login(t)
  assert.deepEqual(await text.ask(`R|CR|${name}+`, 2), [`R|A|S|${name}+`, `R|R|${name}|0|{}+`])
  return text
}

describe('connection and login', { skip }, () => {
  test('the server speaks first, in text: a challenge, and nothing more', async (t) => {
    const text = await Text.open(t, server)
    assert.deepEqual(await text.untilPong(), ['C|CH+'])
  })

  test('a login without client data is answered bare, also in one frame with the answer to the challenge', async (t) => {
    const text = await Text.open(t, server)
    assert.equal(await text.take(), 'C|CH+')
    assert.deepEqual(await text.ask('C|CHR|localhost:6020/deepstream-v3+A|REQ|{}+', 2), ['C|A+', 'A|A+'])
  })

  for (const [what, data] of [['broken JSON', '{"a":'], ['a string', '"x"'], ['nothing', '']]) {
    test(`a login with ${what} is refused and the connection closed`, async (t) => {
      const text = await Text.open(t, server)
      text.say(`A|REQ|${data}+`)
      await text.next('A|E|INVALID_AUTH_MSG|invalid authentication message+')
      await within('the close', text.closed)
    })
  }

  test('messages before the login are an error, and the connection stays', async (t) => {
    const text = await Text.open(t, server)
    await text.take()
    assert.equal(await text.ask('E|EVT|x|N1+'), 'C|E|INVALID_MESSAGE|invalid connection message+')
    assert.equal(await text.ask('C|PI+'), 'C|PO+')
    assert.equal(await text.ask('A|REQ|{}+'), 'A|A+')
  })

  test('who does not log in is told and closed', async (t) => {
    const quick = await serverFor(t, { textEndpoint: { unauthenticatedClientTimeout: 150 } })
    const text = await Text.open(t, quick)
    await text.next('C|E|CONNECTION_AUTHENTICATION_TIMEOUT|Sconnection has not authenticated successfully in the expected time+')
    await within('the close', text.closed)
  })

  test('the server pings, and closes who does not answer', async (t) => {
    const quick = await serverFor(t, { textEndpoint: { heartbeatInterval: LIVELY } })
    const [silent, answering] = [await Text.login(t, quick), await Text.login(t, quick)]
    let pings = 0
    answering.socket.on('message', (data) => {
      if (data.toString() !== 'C\x1fPI\x1e') return
      pings += 1
      answering.say('C|PO+')
    })
    await within('the silent one to be closed', silent.closed)
    await until('more pings came', () => pings >= 5)
    assert.equal(answering.ended, undefined)
    assert.deepEqual(answering.received.filter((message) => message !== 'C|PI+'), [])
  })

  test('a binary frame closes with 1003', async (t) => {
    const text = await login(t)
    text.socket.send(Buffer.from('E\x1fEVT\x1fx\x1fN1\x1e'))
    assert.equal((await within('the close', text.closed)).code, 1003)
  })

  test('what makes no sense is told so, and nothing is closed', async (t) => {
    const text = await login(t)
    for (const topic of ['Z', 'hello', 'A', 'C', 'X']) assert.equal(await text.ask(`${topic}|XX|y+`), `X|E|UNKNOWN_TOPIC|${topic}+`)
    assert.equal(await text.ask('hello+'), 'X|E|UNKNOWN_TOPIC|hello+')
    assert.equal(await text.ask('A|REQ|{}+'), 'X|E|UNKNOWN_TOPIC|A+')
    // Words that nobody knows, of another topic, and that only servers say.
    for (const topic of ['E', 'R', 'P', 'U']) {
      for (const word of ['XYZ', 'EVTX', 'PNJ', 'SH']) assert.equal(await text.ask(`${topic}|${word}|n+`), `${topic}|E|UNKNOWN_ACTION|unknown action ${word}+`)
    }
    assert.equal(await text.ask('R|WA|x|[1]|L+'), 'R|E|UNKNOWN_ACTION|unknown action WA+')
    assert.equal(await text.ask('R|A|D|x+'), 'R|E|UNKNOWN_ACTION|unknown action A+')
    assert.equal(await text.ask('P|A|S|x+'), 'P|E|INVALID_MESSAGE_DATA|x|undefined+')
    // What comes after it in the same frame is heard.
    assert.deepEqual(await text.ask('E|XYZ|n+E|S|after+', 2), ['E|E|UNKNOWN_ACTION|unknown action XYZ+', 'E|A|S|after+'])
    // Too short for a message: silence, as ever.
    text.say('R|+')
    assert.deepEqual(await text.untilPong(), [])
  })

  test('whoever lets go of what it does not hold is acknowledged', async (t) => {
    const text = await login(t)
    for (const [said, answer] of [['E|US|x', 'E|A|US|x'], ['R|US|x', 'R|A|US|x'], ['P|US|x', 'P|A|US|x'], ['E|UL|x.*', 'E|A|UL|x.*'], ['R|UL|x.*', 'R|A|UL|x.*']]) {
      assert.equal(await text.ask(`${said}+`), `${answer}+`)
    }
    for (const said of ['E|US', 'R|US', 'P|US', 'E|UL', 'R|UL', 'E|S', 'E|L', 'R|L']) {
      for (const none of ['', '|']) assert.equal(await text.ask(`${said}${none}+`), `${said[0]}|E|INVALID_MESSAGE_DATA|undefined+`)
    }
  })

  test('a message without a name is told that it has none, whatever else it holds', async (t) => {
    const text = await login(t)
    for (const said of ['E|EVT||N1', 'R|U||1|{}', 'R|CU||-1|{}|{}', 'R|P||1|a|N1']) assert.equal(await text.ask(`${said}+`), `${said[0]}|E|INVALID_MESSAGE_DATA|undefined+`)
  })

  test('a pattern that is none is told with what is wrong, as data', async (t) => {
    const text = await login(t)
    for (const topic of ['E', 'R']) assert.match(await text.ask(`${topic}|L|(+`), new RegExp(`^${topic}\\|E\\|INVALID_MESSAGE_DATA\\|SyntaxError: Invalid regular expression: /\\(/: Unterminated .*group\\+$`))
  })

  test('several messages of one frame are handled in order, the last one even without its end', async (t) => {
    const name = unique('glued')
    const [one, two] = [await login(t), await login(t)]
    await one.ask(`E|S|${name}+`)
    two.say(Array.from({ length: 100 }, (_, index) => `E|EVT|${name}|N${index}`).join('+'))
    for (let index = 0; index < 100; index++) assert.equal(await one.take(), `E|EVT|${name}|N${index}+`)
  })
})

describe('events', { skip }, () => {
  test('subscribe, emit, unsubscribe', async (t) => {
    const name = unique('event')
    const [one, two] = [await login(t), await login(t)]
    assert.equal(await one.ask(`E|S|${name}+`), `E|A|S|${name}+`)
    assert.deepEqual(await one.ask(`E|S|${name}+`, 2), [`E|E|MULTIPLE_SUBSCRIPTIONS|${name}+`, `E|A|S|${name}+`])
    for (const value of ['Sa text', 'S', 'N-1.5', 'T', 'F', 'L', 'O{"a":[1,{}]}']) {
      two.say(`E|EVT|${name}|${value}+`)
      assert.equal(await one.take(), `E|EVT|${name}|${value}+`)
    }
    // No data is no part, and `undefined` is what it is: listeners in JavaScript can tell them apart.
    for (const none of ['', '|U', '']) {
      two.say(`E|EVT|${name}${none}+`)
      assert.equal(await one.take(), `E|EVT|${name}${none}+`)
    }
    // What comes by HTTP without data is `undefined`, as it was on the servers that these clients were made for.
    await batch(server, [{ topic: 'event', action: 'emit', eventName: name }])
    assert.equal(await one.take(), `E|EVT|${name}|U+`)
    assert.equal(await one.ask(`E|US|${name}+`), `E|A|US|${name}+`)
    assert.deepEqual(await two.untilPong(), [])
  })

  test('a value without a type is refused, and reaches nobody', async (t) => {
    const name = unique('untyped')
    const [one, two] = [await login(t), await login(t)]
    await one.ask(`E|S|${name}+`)
    for (const value of ['5', 'Xhello', 'O{"a":', 'Nx']) assert.equal(await two.ask(`E|EVT|${name}|${value}+`), `E|E|INVALID_MESSAGE_DATA|${value.startsWith('O') ? value.slice(1) : value}+`)
    two.say(`E|EVT|${name}|N1+`)
    assert.equal(await one.take(), `E|EVT|${name}|N1+`)
  })

  test('no value and no name of another client breaks out of its part', async (t) => {
    const name = unique('inject')
    const [one, two] = [await login(t), await Raw.login(t, server)]
    await one.ask(`E|S|${name}+`)
    two.event(EVENT.EMIT, { name, data: JSON.stringify('a\x1eR\x1fD\x1fx\x1e') })
    assert.equal(await one.take(), `E|EVT|${name}|O"a\\u001eR\\u001fD\\u001fx\\u001e"+`)
    two.event(EVENT.EMIT, { name, data: '{"a\\u001f":"\\u001e"}' })
    assert.equal(await one.take(), `E|EVT|${name}|O{"a\\u001f":"\\u001e"}+`)
    await one.ask('U|S|S+')
    await Raw.login(t, server, { username: 'eve\x1e\x1fmallory' })
    assert.equal(await one.take(), 'U|PNJ|eve\ufffd\ufffdmallory+')
  })
})

describe('records', { skip }, () => {
  test('create, read, write, patch and erase, seen by another', async (t) => {
    const name = unique('record')
    const [one, two] = [await holder(t, name), await holder(t, name)]
    one.say(`R|U|${name}|1|{"a":{"b":1}}+`)
    assert.equal(await two.take(), `R|U|${name}|1|{"a":{"b":1}}+`)
    one.say(`R|P|${name}|2|a.c|Stext+`)
    assert.equal(await two.take(), `R|P|${name}|2|a.c|Stext+`)
    one.say(`R|P|${name}|3|a.b|U+`)
    assert.equal(await two.take(), `R|P|${name}|3|a.b|U+`)
    assert.equal(await two.ask(`R|SN|${name}+`), `R|R|${name}|3|{"a":{"c":"text"}}+`)
    assert.equal(await two.ask(`R|HD|${name}+`), `R|HD|${name}|3+`)
    assert.equal(await two.ask(`R|H|${name}+`), `R|H|${name}|T+`)
    assert.equal(await one.ask(`R|US|${name}+`), `R|A|US|${name}+`)
  })

  test('what does not exist', async (t) => {
    const text = await login(t)
    const name = unique('missing')
    assert.equal(await text.ask(`R|SN|${name}+`), `R|E|SN|${name}|RECORD_NOT_FOUND+`)
    assert.equal(await text.ask(`R|HD|${name}+`), `R|HD|${name}|-1+`)
    assert.equal(await text.ask(`R|H|${name}+`), `R|H|${name}|F+`)
    assert.equal(await text.ask(`R|D|${name}+`), `R|A|D|${name}+`)
  })

  test('acknowledged writes name their version', async (t) => {
    const name = unique('acked')
    const text = await holder(t, name)
    assert.equal(await text.ask(`R|U|${name}|1|{}|{"writeSuccess":true}+`), `R|WA|${name}|[1]|L+`)
    assert.equal(await text.ask(`R|P|${name}|2|a|N1|{"writeSuccess":true}+`), `R|WA|${name}|[2]|L+`)
    assert.equal(await text.ask(`R|CU|${name}|-1|{"a":2}|{"writeSuccess":true}+`), `R|WA|${name}|[-1]|L+`)
    assert.equal(await text.ask(`R|CU|${name}|-1|a.b|N1|{"writeSuccess":true}+`), `R|WA|${name}|[-1]|L+`)
    assert.equal(await text.ask(`R|SN|${name}+`), `R|R|${name}|4|{"a":{"b":1}}+`)
    text.say(`R|U|${name}|5|{}|{}+`)
    assert.deepEqual(await text.untilPong(), [])
  })

  test('every version that does not follow is answered with the record, and whoever waits for the write is told', async (t) => {
    const name = unique('version')
    const text = await holder(t, name)
    await text.ask(`R|U|${name}|1|{"by":1}|{"writeSuccess":true}+`)
    for (const version of [1, 0, 7]) {
      const exists = `R|E|VERSION_EXISTS|${name}|1|{"by":1}+`
      assert.equal(await text.ask(`R|U|${name}|${version}|{"by":2}+`), exists)
      assert.equal(await text.ask(`R|P|${name}|${version}|by|N2+`), exists)
      assert.deepEqual(await text.ask(`R|U|${name}|${version}|{"by":2}|{"writeSuccess":true}+`, 2), [exists, `R|WA|${name}|[${version}]|L+`])
      assert.deepEqual(await text.ask(`R|P|${name}|${version}|by|N2|{"writeSuccess":true}+`, 2), [exists.replace('+', '|{"writeSuccess":true}+'), `R|WA|${name}|[${version}]|L+`])
    }
    assert.equal(await text.ask(`R|U|${name}|2|{"by":2}|{"writeSuccess":true}+`), `R|WA|${name}|[2]|L+`)
  })

  test('broken writes are refused with what was sent, and settle their writer', async (t) => {
    const name = unique('broken')
    const text = await holder(t, name)
    assert.equal(await text.ask(`R|U|${name}|1|{"a":+`), 'R|E|INVALID_MESSAGE_DATA|{"a":+')
    assert.equal(await text.ask(`R|U|${name}|1|5+`), 'R|E|INVALID_MESSAGE_DATA|5+')
    assert.equal(await text.ask(`R|P|${name}|1|a|hello+`), 'R|E|INVALID_MESSAGE_DATA|hello+')
    assert.equal(await text.ask(`R|P|${name}|1|__proto__|N5+`), 'R|E|INVALID_MESSAGE_DATA|not a path: "__proto__"+')
    assert.equal(await text.ask(`R|P|${name}|1|a+`), `R|E|INVALID_MESSAGE_DATA|${name}+`)
    assert.equal(await text.ask(`R|U|${name}|one|{}+`), `R|E|INVALID_VERSION|${name}|one+`)
    assert.deepEqual(await text.ask(`R|U|${name}|1|5|{"writeSuccess":true}+`, 2), ['R|E|INVALID_MESSAGE_DATA|5+', `R|WA|${name}|[1]|SINVALID_MESSAGE_DATA+`])
    const missing = unique('missing')
    assert.equal(await text.ask(`R|U|${missing}|1|{}+`), `R|E|RECORD_UPDATE_ERROR|${missing}+`)
    for (const words of ['CR', 'S', 'SN', 'HD', 'D', 'US']) {
      text.say(`R|${words}|+`)
      const answers = await text.untilPong()
      assert.deepEqual(answers, ['R|E|INVALID_MESSAGE_DATA|undefined+'], words)
    }
  })

  test('a deletion reaches the others as its acknowledgement', async (t) => {
    const name = unique('deleted')
    const [one, two] = [await holder(t, name), await holder(t, name)]
    assert.equal(await one.ask(`R|D|${name}+`), `R|A|D|${name}+`)
    assert.equal(await two.take(), `R|A|D|${name}+`)
  })

  test('many patches of one message arrive as the whole record', async (t) => {
    const name = unique('multi')
    const [text, raw] = [await holder(t, name), await Raw.login(t, server)]
    raw.record(RECORD.PATCH_MULTI, { name, version: 1, data: '[{"path":"a","data":1},{"path":"b.c","data":"x"}]', isWriteAck: true, correlationId: '1' })
    assertFields(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.WRITE_ACKNOWLEDGEMENT })
    assert.equal(await text.take(), `R|U|${name}|1|{"a":1,"b":{"c":"x"}}+`)
  })

  test('a record of 900 kB arrives whole', async (t) => {
    const name = unique('large')
    const [one, two] = [await holder(t, name), await holder(t, name)]
    const data = JSON.stringify({ text: 'x'.repeat(900_000) })
    one.say(`R|U|${name}|1|${data}+`)
    assert.equal(await two.take(), `R|U|${name}|1|${data}+`)
  })
})

describe('calls', { skip }, () => {
  test('provide, request, accept, respond, reject, fail', async (t) => {
    const name = unique('call')
    const [provider, caller] = [await login(t), await login(t)]
    assert.equal(await provider.ask(`P|S|${name}+`), `P|A|S|${name}+`)
    assert.deepEqual(await provider.ask(`P|S|${name}+`, 2), [`P|E|MULTIPLE_SUBSCRIPTIONS|${name}+`, `P|A|S|${name}+`])
    caller.say(`P|REQ|${name}|1|O{"a":1}+`)
    assert.equal(await provider.take(), `P|REQ|${name}|1|O{"a":1}+`)
    provider.say(`P|A|REQ|${name}|1+`)
    assert.equal(await caller.take(), `P|A|REQ|${name}|1+`)
    provider.say(`P|RES|${name}|1|Sdone+`)
    assert.equal(await caller.take(), `P|RES|${name}|1|Sdone+`)
    caller.say(`P|REQ|${name}|2|U+`)
    assert.equal(await provider.take(), `P|REQ|${name}|2|U+`)
    provider.say(`P|REJ|${name}|2+`)
    assert.equal(await caller.take(), `P|E|NO_RPC_PROVIDER|${name}|2+`)
    caller.say(`P|REQ|${name}|3|N1+`)
    await provider.take()
    provider.say(`P|E|out of order|${name}|3+`)
    assert.equal(await caller.take(), `P|E|out of order|${name}|3+`)
    assert.equal(await provider.ask(`P|RES|${name}|3|N1+`), `P|E|INVALID_RPC_CORRELATION_ID|${name}|3+`)
    assert.equal(await provider.ask(`P|US|${name}+`), `P|A|US|${name}+`)
    assert.equal(await caller.ask(`P|REQ|${name}|4|N1+`), `P|E|NO_RPC_PROVIDER|${name}|4+`)
    assert.equal(await caller.ask(`P|REQ|${name}|5|what+`), `P|E|INVALID_MESSAGE_DATA|${name}|5+`)
  })
})

describe('what a rule forbids, or where it fails', { skip }, () => {
  const all = (...rights) => Object.fromEntries(rights.map((right) => [right, true]))
  const broken = 'data.a.b.c.d === 1'
  const permissions = {
    record: {
      '*': all('create', 'read', 'write', 'delete', 'listen', 'notify'),
      'noread/.*': { read: false },
      'nocreate/.*': { create: false },
      'nowrite/.*': { write: false },
      'broken/.*': { create: true, read: 'oldData.a.b.c.d === 1', write: broken },
      'brokencreate/.*': { create: 'user.id.a.b.c === 1' }
    },
    event: { '*': all('publish', 'subscribe', 'listen'), 'broken/.*': { publish: broken } },
    rpc: { '*': all('provide', 'request'), 'broken/.*': { provide: true, request: broken } },
    presence: { '*': all('allow') }
  }
  let own
  before(async () => { if (!skip) own = await Server.start({ extra: { permission: { type: 'config', options: { permissions } } } }) })
  after(() => own?.discard())

  test('whoever asks for one record once is told under the word it asked with', async (t) => {
    const text = await Text.login(t, own)
    for (const [path, error] of [['noread', 'MESSAGE_DENIED'], ['broken', 'MESSAGE_PERMISSION_ERROR']]) {
      for (const word of ['SN', 'H', 'HD']) {
        assert.equal(await text.ask(`R|${word}|${path}/x+`), `R|E|${word}|${path}/x|${error}+`)
      }
    }
    assert.deepEqual(await text.untilPong(), [], 'once each')
  })

  test('the right to create is told as that', async (t) => {
    const text = await Text.login(t, own)
    for (const [path, error] of [['nocreate', 'MESSAGE_DENIED'], ['brokencreate', 'MESSAGE_PERMISSION_ERROR']]) {
      const told = `R|E|${error}|${path}/x|C+`
      assert.equal(await text.ask(`R|CR|${path}/x+`), told)
      assert.equal(await text.ask(`R|CU|${path}/x|-1|{}|{}+`), told)
      assert.deepEqual(await text.ask(`R|CU|${path}/x|-1|p|N1|{"writeSuccess":true}+`, 2), [told, `R|WA|${path}/x|[-1]|S${error}+`])
    }
    assert.equal(await text.ask('R|CU|nowrite/x|-1|{}|{}+'), 'R|E|MESSAGE_DENIED|nowrite/x|U+')
    assert.equal(await text.ask('R|CR|noread/x+'), 'R|E|MESSAGE_DENIED|noread/x|R+')
  })

  test('a rule that fails is told with what was asked', async (t) => {
    const text = await Text.login(t, own)
    for (const [said, told] of [
      ['R|CR|broken/x', 'R|E|MESSAGE_PERMISSION_ERROR|broken/x|R'],
      ['R|U|broken/x|1|{}', 'R|E|MESSAGE_PERMISSION_ERROR|broken/x|U|1'],
      ['R|P|broken/x|1|p|N1', 'R|E|MESSAGE_PERMISSION_ERROR|broken/x|P|1'],
      ['E|EVT|broken/x|N1', 'E|E|MESSAGE_PERMISSION_ERROR|broken/x|EVT'],
      ['P|REQ|broken/x|7|N1', 'P|E|MESSAGE_PERMISSION_ERROR|broken/x|7']
    ]) assert.equal(await text.ask(`${said}+`), `${told}+`)
  })
})

test('logins that are refused, up to the last', { skip }, async (t) => {
  const own = await serverFor(t, { textEndpoint: { maxAuthAttempts: 2 }, extra: { auth: [{ type: 'file', options: { users: { ann: { password: 'secret' } } } }] } })
  const text = await Text.open(t, own)
  for (const last of [false, true]) {
    text.say('A|REQ|{"username":"x","password":"y"}+')
    await text.next('A|E|INVALID_AUTH_DATA|')
    if (last) assert.equal(await text.take(), 'A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+')
  }
  await within('the close', text.closed)
})

test('a call that nobody acknowledges', { skip }, async (t) => {
  const own = await serverFor(t, { extra: { rpc: { ackTimeout: 100 } } })
  const [provider, caller] = [await Text.login(t, own), await Text.login(t, own)]
  await provider.ask('P|S|silent+')
  assert.equal(await caller.ask('P|REQ|silent|1|N1+'), 'P|E|ACK_TIMEOUT|silent|1+')
})

describe('presence', { skip }, () => {
  test('questions, subscriptions, who comes and goes', async (t) => {
    const own = await serverFor(t)
    const ann = await Text.login(t, own, { username: 'ann' })
    for (const everybody of ['U|Q|Q+', 'U|Q|U+', 'U|Q+']) assert.equal(await ann.ask(everybody), 'U|Q+')
    assert.equal(await ann.ask('U|S|S+'), 'U|A|S|S+')
    assert.equal(await ann.ask('U|S|7|["bob","cid"]+'), 'U|A|S|7+')
    const bob = await Text.login(t, own, { username: 'bob' })
    assert.deepEqual([await ann.take(), await ann.take()], ['U|PNJ|bob+', 'U|PNJ|bob+'])
    assert.equal(await ann.ask('U|Q|Q+'), 'U|Q|bob+')
    assert.equal(await ann.ask('U|Q|8|["bob","cid"]+'), 'U|Q|8|{"bob":true,"cid":false}+')
    assert.equal(await ann.ask('U|US|US+'), 'U|A|US|US+')
    bob.terminate()
    assert.equal(await ann.take(), 'U|PNL|bob+')
    assert.equal(await ann.ask('U|US|9|["bob"]+'), 'U|A|US|9+')
  })

  test('a list of users that is none is refused', async (t) => {
    const text = await login(t)
    for (const list of ['garbage', '{"a":1}', '[1]', '']) assert.equal(await text.ask(`U|S|1|${list}+`), 'U|E|INVALID_PRESENCE_USERS|users are required to be a json array of usernames+')
  })
})
