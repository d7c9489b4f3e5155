// The client of the third generation, `deepstream.io-client-js` 2.x, which speaks the text protocol: tuned for tests,
// and with promises where it has callbacks.

import assert from 'node:assert/strict'
import deepstream from 'deepstream.io-client-js'
import { watched } from './clients.mjs'
import { until, within } from './until.mjs'

export const PATH = '/deepstream-v3'

export const FAST = {
  silentDeprecation: true,
  reconnectIntervalIncrement: 20,
  maxReconnectInterval: 200,
  maxReconnectAttempts: 1000,
  subscriptionTimeout: 4000,
  recordReadAckTimeout: 6000,
  recordReadTimeout: 6000,
  recordDeleteTimeout: 6000
}

/** A client that is not logged in. Every error event is kept in `client.errors`. */
export function oldClientFor (t, server, options = {}, path = PATH) {
  return watched(t, deepstream(`${server.url}${path}`, { ...FAST, ...options }))
}

/** Resolves with what the callback of a login is given. */
export function oldLogin (client, parameters = {}) {
  return within('login', new Promise((resolve) => client.login(parameters, (success, data) => resolve({ success, data }))))
}

/** Connected and logged in. */
export async function oldLoggedIn (t, server, options = {}, parameters = {}) {
  const client = oldClientFor(t, server, options)
  assert.equal((await oldLogin(client, parameters)).success, true)
  return client
}

/** A record handle that is ready. */
export async function oldReady (client, name) {
  const record = client.record.getRecord(name)
  await within(`record ${name} to be ready`, record.whenReady())
  return record
}

export async function oldReadyList (client, name) {
  const list = client.record.getList(name)
  await within(`list ${name} to be ready`, new Promise((resolve) => list.whenReady(resolve)))
  return list
}

/** The write, and resolves once it is acknowledged; rejects with the error. */
export function oldSet (record, ...parts) {
  return within('the ack', new Promise((resolve, reject) => record.set(...parts, (error) => error === null ? resolve() : reject(error))))
}

export function oldSetData (client, ...parts) {
  return within('the ack', new Promise((resolve, reject) => client.record.setData(...parts, (error) => error === null ? resolve() : reject(error))))
}

/** A call; resolves or rejects with the answer. */
export function oldMake (client, name, data) {
  return within(`the answer of ${name}`, new Promise((resolve, reject) => client.rpc.make(name, data, (error, result) => error ? reject(error) : resolve(result))))
}

/** Waits until this error was reported, and forgets it. */
export async function untilError (client, event) {
  const is = (error) => error.event === event
  await until(`the error ${event} is reported`, () => client.errors.some(is))
  const found = client.errors.find(is)
  client.errors = client.errors.filter((error) => !is(error))
  return found
}
