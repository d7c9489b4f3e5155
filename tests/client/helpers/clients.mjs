// The official client, tuned for tests: nothing is batched for long, errors are kept and asserted on.

import assert from 'node:assert/strict'
import deepstream from '@deepstream/client'
import { atEnd, unique, until, within } from './until.mjs'

const { DeepstreamClient } = deepstream

export const FAST = {
  nativeTimerRegistry: true,
  subscriptionInterval: 1,
  recordDiscardTimeout: 30,
  reconnectIntervalIncrement: 20,
  maxReconnectInterval: 200,
  maxReconnectAttempts: 1000,
  offlineBufferTimeout: 20000
}

/** Warnings of all clients of this process; the client reports missing acks nowhere else. */
export const warnings = []
console.warn = (...parts) => warnings.push(parts.join(' '))

/** A client that is not logged in. Every error event is kept in `client.errors`. */
export function clientFor (t, server, options = {}) {
  const client = watched(t, new DeepstreamClient(server.url, { ...FAST, ...options }))
  atEnd(t, () => {
    const missing = warnings.filter((text) => text.includes('ACK_TIMEOUT'))
    assert.deepEqual(missing, [], 'answers the client missed')
  })
  return client
}

/** A client of either generation: what it reports is kept, and it is closed when the test ends. */
export function watched (t, client) {
  client.errors = []
  client.states = []
  client.on('error', (message, event, topic) => client.errors.push({ message, event, topic }))
  client.on('connectionStateChanged', (state) => client.states.push(state))
  atEnd(t, () => {
    if (!['CLOSING', 'CLOSED'].includes(client.getConnectionState())) client.close()
    // Closing does not stop one that is trying to reconnect: it would keep its process from its end.
    const options = client.options ?? client._options
    options.maxReconnectAttempts = 0
    if (!client.mayFail) assert.deepEqual(client.errors, [], 'errors the client reported')
  })
  return client
}

/** Connected and logged in. */
export async function loggedIn (t, server, options = {}, login = {}) {
  const client = clientFor(t, server, options)
  await within('login', client.login(login))
  return client
}

/** Connected and logged in under a name. */
export async function user (t, server, username, options = {}) {
  return loggedIn(t, server, options, { username })
}

export const isOpen = (client) => until('the client is open again', () => client.getConnectionState() === 'OPEN')
export const isLost = (client) => until('the client has lost its connection', () => client.getConnectionState() !== 'OPEN')

/** A record handle that is ready. */
export async function ready (client, name) {
  const record = client.record.getRecord(name)
  await within(`record ${name} to be ready`, record.whenReady())
  return record
}

export async function readyList (client, name) {
  const list = client.record.getList(name)
  await within(`list ${name} to be ready`, list.whenReady())
  return list
}

/** Waits until the record's data equals `data`. */
export async function untilData (record, data, path) {
  let seen
  try {
    await until('the data arrives', () => {
      seen = record.get(path)
      try {
        assert.deepEqual(seen, data)
        return true
      } catch {
        return false
      }
    })
  } catch (error) {
    assert.deepEqual(seen, data, error.message)
  }
}

export async function untilVersion (record, version) {
  await until(`version ${version} of ${record.name} (now ${record.version})`, () => record.version === version)
}

/** Collects calls of a callback. */
export function calls () {
  const seen = []
  const collect = (...parts) => { seen.push(parts.length === 1 ? parts[0] : parts) }
  collect.seen = seen
  return collect
}

/**
 * Resolves once the server has registered the client's event subscription: a probe event from
 * another client comes through.
 */
export async function subscribed (client, name, callback, prober) {
  let open = false
  const wrapped = (...told) => {
    const [data] = told
    if (data !== null && typeof data === 'object' && data.probe === name) open = true
    else callback(...told)
  }
  client.event.subscribe(name, wrapped)
  await until(`${name} is subscribed`, () => {
    if (!open) prober.event.emit(name, { probe: name })
    return open
  }, { every: 10 })
  return wrapped
}

/**
 * Resolves once the server has registered the client as a provider: a call of another client comes
 * through to it. Probes meant for other providers are passed on.
 */
export async function provided (client, name, callback, prober) {
  const token = unique('probe')
  let open = false
  client.rpc.provide(name, (data, response, requestor) => {
    const probe = data?.probe
    if (probe === token) {
      open = true
      response.send(null)
    } else if (probe !== undefined) response.reject()
    else callback(data, response, requestor)
  })
  await until(`${name} is provided`, async () => {
    await prober.rpc.make(name, { probe: token }).catch((error) => assert.equal(error, 'NO_RPC_PROVIDER'))
    return open
  })
}
