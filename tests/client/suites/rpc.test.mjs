// Calls: provided, made, answered, refused and handed over, through the official client.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { calls, isLost, isOpen, loggedIn, provided, user } from '../helpers/clients.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'

const better = REFERENCE ? test.skip : test
const KINDS = [undefined, null, true, false, 0, -1.5, 1e300, '', 'text', 'ünïcödé 🚀 \u2028', [], [1, [2]], {}, { a: { b: null } }]
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const pair = async (t) => [await loggedIn(t, server), await loggedIn(t, server)]

describe('a call', () => {
  test('add-two: 5 in, 7 out', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('add-two')
    await provided(provider, name, (data, response) => response.send(data + 2), caller)
    assert.equal(await within('the answer', caller.rpc.make(name, 5)), 7)
  })

  test('arguments and results of every kind arrive as they were sent', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('kinds')
    const seen = []
    await provided(provider, name, (data, response) => {
      seen.push(data)
      response.send(data)
    }, caller)
    const results = []
    for (const kind of KINDS) results.push(await within(`the answer to ${kind}`, caller.rpc.make(name, kind)))
    assert.deepEqual(seen, KINDS)
    assert.deepEqual(results, KINDS)
  })

  test('a callback is told the same as a promise', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('callback')
    await provided(provider, name, (data, response) => data === 'bad' ? response.error('no') : response.send(data), caller)
    const told = calls()
    caller.rpc.make(name, 'good', told)
    caller.rpc.make(name, 'bad', told)
    await until('both are answered', () => told.seen.length === 2)
    assert.deepEqual(told.seen, [[null, 'good'], 'no'])
  })

  test('errors of every kind reach the caller', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('errors')
    await provided(provider, name, (data, response) => response.error(data), caller)
    for (const kind of KINDS.filter(Boolean)) {
      await assert.rejects(within('the answer', caller.rpc.make(name, kind)), (error) => {
        assert.deepEqual(error, kind)
        return true
      })
    }
  })

  test('nobody provides it: told at once', async (t) => {
    const caller = await loggedIn(t, server)
    await assert.rejects(within('the answer', caller.rpc.make(unique('nobody'), 1)), (error) => error === 'NO_RPC_PROVIDER')
  })

  test('a client calls what it provides itself', async (t) => {
    const client = await loggedIn(t, server)
    const name = unique('own')
    await provided(client, name, (data, response) => response.send(data * 2), client)
    assert.equal(await within('the answer', client.rpc.make(name, 4)), 8)
  })

  test('a thousand calls at once, answered in another order, get each its own answer', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('order')
    const waiting = []
    await provided(provider, name, (data, response) => {
      waiting.push(() => response.send(data * 3))
      if (waiting.length === 1000) for (const answer of waiting.reverse()) answer()
    }, caller)
    const made = Array.from({ length: 1000 }, (_, index) => caller.rpc.make(name, index))
    assert.deepEqual(await within('all answers', Promise.all(made)), made.map((_, index) => index * 3))
  })

  test('an argument and a result of 900 kB arrive whole', async (t) => {
    const [provider, caller] = await pair(t)
    const name = unique('large')
    await provided(provider, name, (data, response) => response.send(data), caller)
    const large = 'x'.repeat(900_000)
    assert.equal(await within('the answer', caller.rpc.make(name, large)), large)
  })

  test('twelve callers reach twelve providers, wherever their connections and names are', async (t) => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => loggedIn(t, server)))
    const names = clients.map(() => unique('spread'))
    await Promise.all(clients.map((client, index) =>
      provided(client, names[index], (data, response) => response.send([index, data]), clients[(index + 1) % 12])))
    const made = clients.flatMap((client, caller) => names.map((name) => client.rpc.make(name, caller)))
    const answers = await within('all answers', Promise.all(made))
    assert.deepEqual(answers, clients.flatMap((_, caller) => names.map((_, index) => [index, caller])))
  })

  test('one client provides 300 procedures', async (t) => {
    const [provider, caller] = await pair(t)
    const names = Array.from({ length: 300 }, () => unique('many'))
    for (const name of names.slice(1)) provider.rpc.provide(name, (data, response) => response.send([name, data]))
    await provided(provider, names[0], (data, response) => response.send([names[0], data]), caller)
    const answers = await within('all answers', Promise.all(names.map((name, index) => caller.rpc.make(name, index))))
    assert.deepEqual(answers, names.map((name, index) => [name, index]))
  })
})

describe('several providers', () => {
  test('a call that one rejects goes to the next', async (t) => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => loggedIn(t, server)))
    const caller = await loggedIn(t, server)
    const name = unique('next')
    const rejected = calls()
    for (const [index, client] of clients.slice(0, 4).entries()) {
      await provided(client, name, (data, response) => {
        rejected(index)
        response.reject()
      }, caller)
    }
    await provided(clients[4], name, (data, response) => response.send('taken'), caller)
    // The provider that accepts may be asked first, so this is repeated until each of the others was asked before it at
    // some time.
    await until('all others have rejected', async () => {
      assert.equal(await within('the answer', caller.rpc.make(name, 1)), 'taken')
      return new Set(rejected.seen).size === 4
    })
  })

  test('a call that all reject has no provider, and each was asked once', async (t) => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => loggedIn(t, server)))
    const caller = await loggedIn(t, server)
    const name = unique('unwilling')
    const asked = calls()
    for (const [index, client] of clients.entries()) {
      await provided(client, name, (data, response) => {
        asked(index)
        response.reject()
      }, caller)
    }
    await assert.rejects(within('the answer', caller.rpc.make(name, 1)), (error) => error === 'NO_RPC_PROVIDER')
    assert.deepEqual(asked.seen.sort(), [0, 1, 2, 3])
  })

  test('calls are spread over all of them', async (t) => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => loggedIn(t, server)))
    const caller = await loggedIn(t, server)
    const name = unique('shared')
    const shares = [0, 0, 0, 0]
    for (const [index, client] of clients.entries()) {
      await provided(client, name, (data, response) => {
        shares[index] += 1
        response.send(null)
      }, caller)
    }
    await within('all answers', Promise.all(Array.from({ length: 400 }, () => caller.rpc.make(name))))
    // Fair draws miss this bound once in some ten million runs.
    for (const share of shares) assert.ok(share > 50, `${shares}`)
  })

  test('the second takes over when the first stops providing, and nobody is left after both have', async (t) => {
    const [first, second, caller] = [await loggedIn(t, server), await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('take-over')
    await provided(first, name, (data, response) => response.send('first'), caller)
    assert.equal(await within('the answer', caller.rpc.make(name)), 'first')
    await provided(second, name, (data, response) => response.send('second'), caller)
    first.rpc.unprovide(name)
    await until('the first is gone', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => caller.rpc.make(name)))
      return answers.every((answer) => answer === 'second')
    })
    second.rpc.unprovide(name)
    await until('nobody is left', () => caller.rpc.make(name).then(() => false, (error) => error === 'NO_RPC_PROVIDER'))
    await provided(first, name, (data, response) => response.send('again'), caller)
    assert.equal(await within('the answer', caller.rpc.make(name)), 'again')
  })

  better('calls under way survive a provider that stops providing, and it hears no complaint', async (t) => {
    const [first, second, caller] = [await loggedIn(t, server), await loggedIn(t, server), await loggedIn(t, server)]
    for (let round = 0; round < 10; round++) {
      const name = unique('handed-over')
      await provided(second, name, (data, response) => response.send(data), caller)
      await provided(first, name, (data, response) => response.send(data), caller)
      const made = Array.from({ length: 200 }, (_, index) => caller.rpc.make(name, index))
      // Its library rejects what still comes; the server has moved it on by then.
      first.rpc.unprovide(name)
      assert.deepEqual(await within('all answers', Promise.all(made)), made.map((_, index) => index))
    }
  })
})

describe('time', () => {
  const quick = { extra: { rpc: { ackTimeout: 150, responseTimeout: 400 } } }

  test('a provider that accepts and says no more: RESPONSE_TIMEOUT', async (t) => {
    const server = await serverFor(t, quick)
    const [provider, caller] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('silent')
    await provided(provider, name, () => {}, caller)
    const begun = performance.now()
    await assert.rejects(within('the answer', caller.rpc.make(name, 1)), (error) => error === 'RESPONSE_TIMEOUT')
    assert.ok(performance.now() - begun >= 400)
  })

  test('a provider that does not even accept: ACCEPT_TIMEOUT', async (t) => {
    const server = await serverFor(t, quick)
    const [provider, caller] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('deaf')
    await provided(provider, name, (data, response) => { response.autoAccept = false }, caller)
    const begun = performance.now()
    await assert.rejects(within('the answer', caller.rpc.make(name, 1)), (error) => error === 'ACCEPT_TIMEOUT')
    assert.ok(performance.now() - begun >= 150)
  })

  test('an answer that comes too late reaches nobody, and its provider is told', async (t) => {
    const server = await serverFor(t, quick)
    const [provider, caller] = [await loggedIn(t, server), await loggedIn(t, server)]
    provider.mayFail = true
    const name = unique('late')
    let late
    await provided(provider, name, (data, response) => { late = response }, caller)
    const told = calls()
    caller.rpc.make(name, 1, told)
    await until('the call has failed', () => told.seen.length > 0)
    late.send('late')
    await until('the provider is told', () => provider.errors.length > 0)
    assert.deepEqual(provider.errors.map(({ event, topic }) => [event, topic]), [['UNKNOWN_CORRELATION_ID', 'RPC']])
    assert.deepEqual(told.seen, ['RESPONSE_TIMEOUT'])
  })

  test('a provider that accepts by hand has the time of an answer', async (t) => {
    const server = await serverFor(t, quick)
    const [provider, caller] = [await loggedIn(t, server), await loggedIn(t, server)]
    const name = unique('by-hand')
    const begun = performance.now()
    await provided(provider, name, async (data, response) => {
      response.autoAccept = false
      response.accept()
      await until('the time to accept is over', () => performance.now() - begun > 250)
      response.send('done')
    }, caller)
    assert.equal(await within('the answer', caller.rpc.make(name, 1)), 'done')
  })
})

// The server's timeouts are longer than these tests wait: what is answered is answered because of the loss.
describe('providers and callers that vanish', () => {
  const patient = { extra: { rpc: { ackTimeout: 60000, responseTimeout: 60000 } } }

  better('a call whose provider vanishes goes to another, accepted or not', async (t) => {
    const server = await serverFor(t, patient)
    const proxy = await Proxy.start(t, server)
    for (const autoAccept of [true, false]) {
      const [dying, other, caller] = [await loggedIn(t, proxy), await loggedIn(t, server), await loggedIn(t, server)]
      dying.mayFail = true
      const name = unique('dying')
      const asked = calls()
      await provided(dying, name, (data, response) => {
        response.autoAccept = autoAccept
        asked(data)
      }, caller)
      const made = caller.rpc.make(name, 'x')
      await until('the first is asked', () => asked.seen.length === 1)
      await provided(other, name, (data, response) => response.send(`other ${data}`), caller)
      proxy.cut()
      assert.equal(await within('the answer of the other', made), 'other x')
      dying.close()
    }
  })

  better('a call whose only provider vanishes fails at once', async (t) => {
    const server = await serverFor(t, patient)
    const proxy = await Proxy.start(t, server)
    const [dying, caller] = [await loggedIn(t, proxy), await loggedIn(t, server)]
    dying.mayFail = true
    const name = unique('dying')
    const asked = calls()
    await provided(dying, name, asked, caller)
    const made = Array.from({ length: 10 }, () => caller.rpc.make(name, 'x'))
    await until('it is asked', () => asked.seen.length === 10)
    proxy.cut()
    const answers = await within('the refusals', Promise.allSettled(made))
    assert.deepEqual(answers.map(({ reason }) => reason), made.map(() => 'NO_RPC_PROVIDER'))
  })

  test('a provider that comes back provides again', async (t) => {
    const server = await serverFor(t, patient)
    const proxy = await Proxy.start(t, server)
    const [provider, caller] = [await loggedIn(t, proxy), await loggedIn(t, server)]
    provider.mayFail = true
    const name = unique('back')
    await provided(provider, name, (data, response) => response.send(data + 1), caller)
    for (let round = 0; round < 3; round++) {
      proxy.lock()
      await isLost(provider)
      proxy.unlock()
      await isOpen(provider)
      await until('it provides again', () => caller.rpc.make(name, 1).then((result) => result === 2, () => false))
    }
  })

  test('a call made while the line is down is made when it is up', async (t) => {
    const server = await serverFor(t, patient)
    const proxy = await Proxy.start(t, server)
    const [provider, caller] = [await loggedIn(t, server), await loggedIn(t, proxy)]
    caller.mayFail = true
    const name = unique('queued')
    await provided(provider, name, (data, response) => response.send(data + 1), caller)
    proxy.lock()
    await isLost(caller)
    proxy.unlock()
    assert.equal(await within('the answer', caller.rpc.make(name, 1)), 2)
  })

  test('a caller that vanishes is told nothing later, and its provider goes on', async (t) => {
    const server = await serverFor(t, patient)
    const proxy = await Proxy.start(t, server)
    const [provider, caller, other] = [await loggedIn(t, server), await loggedIn(t, proxy), await loggedIn(t, server)]
    caller.mayFail = true
    const name = unique('vanished')
    const waiting = []
    await provided(provider, name, (data, response) => {
      if (data === 'wait') waiting.push(response)
      else response.send(data)
    }, other)
    const told = calls()
    caller.rpc.make(name, 'wait', told)
    await until('the provider is asked', () => waiting.length === 1)
    proxy.lock()
    await isLost(caller)
    proxy.unlock()
    await isOpen(caller)
    waiting[0].send('for nobody')
    assert.equal(await within('another answer', caller.rpc.make(name, 'x')), 'x')
    assert.equal(told.seen.length, 1)
    assert.equal(await within('another answer', other.rpc.make(name, 'y')), 'y')
  })
})

describe('who calls', () => {
  for (const [what, extra] of [['is not said by default', {}], ['is said where it is configured', { provideRequestorName: true }]]) {
    test(what, async (t) => {
      const server = await serverFor(t, { extra: { rpc: extra } })
      const [provider, caller] = [await user(t, server, 'pat'), await user(t, server, 'ann')]
      const name = unique('who')
      const seen = calls()
      await provided(provider, name, (data, response, requestor) => {
        seen(requestor)
        response.send(null)
      }, caller)
      await within('the answer', caller.rpc.make(name, 1))
      const expected = extra.provideRequestorName ? { requestorName: 'ann', requestorData: undefined } : undefined
      assert.deepEqual(seen.seen, [expected])
    })
  }
})
