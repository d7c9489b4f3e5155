// Hundreds of logins from a few addresses: they may delay each other, but not the login of another address.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { post } from '../helpers/http.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { atEnd, until } from '../helpers/until.mjs'
import { Webhook } from '../helpers/webhook.mjs'
import { AUTH, TOPIC } from '../helpers/wire.mjs'

const from = (address) => ({ headers: { 'x-forwarded-for': address } })
const limits = { refusedLoginsPerAddressMax: 0, refusedLoginsPerUserMax: 0 }
const webhook = (hook) => ({ type: 'http', options: { endpointUrl: hook.url, permittedStatusCodes: [200], requestTimeout: 60000 } })

async function asking (t, server, data, address) {
  const raw = await Raw.challenged(server, from(address))
  atEnd(t, () => raw.terminate())
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify(data) })
  return raw
}
const flood = (t, server, count, address = '6.6.6.6') =>
  Promise.all(Array.from({ length: count }, (_, index) => asking(t, server, { username: `user ${index}`, password: 'x' }, address)))

describe('a flood of logins', () => {
  test('that are hashed delays an honest one by a few hashes, not by all of them', async (t) => {
    const users = { ann: { password: 'rCOSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=GS4SbTQYmoaGwjm2shEobg==' } }
    const auth = [{ type: 'file', options: { users, hash: 'sha512', iterations: 20000, keyLength: 32 } }]
    const server = await serverFor(t, { extra: { auth }, limits })
    const honest = async () => {
      const start = Date.now()
      const answer = await post(server, { username: 'ann', password: 'password' }, { path: '/api/auth', ...from('7.7.7.7') })
      assert.equal(answer.status, 401)
      return Date.now() - start
    }
    await honest()
    const alone = Math.max(await honest(), await honest(), 20)
    const raws = await flood(t, server, 300)
    const times = [await honest(), await honest(), await honest()]
    assert.ok(raws.filter((raw) => raw.received.length === 0).length > 100, 'the flood still waits')
    assert.ok(Math.max(...times) < alone * 20, `${times} ms instead of ${alone}`)
    // Logins of clients that left are not computed: the queue is empty long before it could have been worked off.
    for (const raw of raws) raw.terminate()
    await until('an honest one is as fast as before', async () => await honest() < alone * 3)
  })

  test('that a webhook judges has a stranger asked about next', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push({ request, respond }))
    const file = { type: 'file', options: { users: { known: { password: 'right' } } } }
    const server = await serverFor(t, { extra: { auth: [file, webhook(hook)] }, limits: { ...limits, webhooksMax: 2 }, shards: 1 })
    await flood(t, server, 100)
    await until('the webhook has as many as it may', () => waiting.length === 2)
    const raw = await asking(t, server, { honest: true }, '7.7.7.7')
    // It waits among the others by now: one that came after it, and needs no webhook, is judged.
    assert.equal((await post(server, { username: 'known', password: 'right' }, { path: '/api/auth' })).status, 200)
    const about = () => waiting.findIndex(({ request }) => request.body.authData.honest)
    for (let served = 0; served < 100 && about() < 0; served++) {
      const before = waiting.length
      waiting[served].respond(401, '')
      await until('the next one is asked about', () => waiting.length > before)
    }
    assert.ok(about() <= 4, `${about()} of the flood were asked about before`)
    waiting[about()].respond(200, 'ann')
    assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
  })

  test('whose connections are gone is not asked about any more', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push({ request, respond }))
    const server = await serverFor(t, { extra: { auth: [webhook(hook)] }, limits: { ...limits, webhooksMax: 1 } })
    const raws = await flood(t, server, 60)
    await until('the webhook has one', () => waiting.length === 1)
    for (const raw of raws) raw.terminate()
    // All of them wait for the same address as the honest one, which is served next all the same.
    await until('the request under way is called off', () => hook.open === 0)
    const raw = await asking(t, server, { honest: true }, '6.6.6.6')
    await until('the honest one is asked about', () => waiting.some(({ request }) => request.body.authData.honest))
    assert.ok(waiting.length < 20, `${waiting.length} were asked about`)
    waiting.at(-1).respond(200, 'ann')
    assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
    raw.terminate()
    await server.atRest()
  })

  test('who goes with the last word of a login is not asked about either', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push({ request, respond }))
    const server = await serverFor(t, { extra: { auth: [webhook(hook)] }, limits: { ...limits, webhooksMax: 1 } })
    const first = await asking(t, server, { first: true }, '6.6.6.6')
    await until('the webhook has one', () => waiting.length === 1)
    for (let each = 0; each < 100; each++) (await asking(t, server, { username: `user ${each}` }, '6.6.6.6')).terminate()
    const raw = await asking(t, server, { honest: true }, '6.6.6.6')
    await until('they are gone', async () => (await server.census()).connections === 2)
    waiting[0].respond(200, 'bob')
    assertFields(await first.take(), { action: AUTH.AUTH_SUCCESSFUL })
    await until('the next one is asked about', () => waiting.length > 1)
    assert.ok(waiting[1].request.body.authData.honest, 'which is the honest one')
    waiting[1].respond(200, 'ann')
    assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
  })

  test('that fills the room for logins gives way to a stranger', async (t) => {
    const waiting = []
    const hook = await Webhook.start(t, (request, respond) => waiting.push({ request, respond }))
    const server = await serverFor(t, { extra: { auth: [webhook(hook)] }, limits: { ...limits, loginsMax: 20, webhooksMax: 5 }, shards: 1 })
    const raws = await flood(t, server, 30)
    const busy = () => raws.filter((raw) => raw.received.length > 0)
    await until('those who do not fit are told', () => busy().length === 10)
    const raw = await asking(t, server, { honest: true }, '7.7.7.7')
    await until('one of the flood gives way', () => busy().length === 11)
    for (const each of busy()) assertFields(each.received[0], { action: AUTH.AUTH_UNSUCCESSFUL, data: '{"error":"too many logins are waiting, try again"}' })
    assert.equal(raw.received.length, 0)
    for (let served = 0; served < 30 && raw.received.length === 0; served++) {
      await until('somebody is asked about', () => waiting.length > served)
      waiting[served].respond(200, 'ann')
      await until('the next one is asked about, or the stranger told', () => waiting.length > served + 1 || raw.received.length > 0)
    }
    assertFields(await raw.take(), { action: AUTH.AUTH_SUCCESSFUL })
  })
})
