// Waiting for conditions. Nothing in these tests sleeps for a fixed time: a wait is a condition, a
// deadline, and a sentence that says what did not happen.

import { after } from 'node:test'

// A test that fails halfway leaves clients behind that reconnect for ever, so once all tests of a file are over its
// process exits whatever is still open. A file that cleans up has ended long before.
const LINGER_MS = 30000
after(function waitForLeftovers () { setTimeout(() => process.exit(), LINGER_MS).unref() })

/** Only what never happens takes this long: on a machine with ten times the work it can do, all that should happen does. */
export const DEADLINE = Number(process.env.DEEPSTREAM_TEST_DEADLINE ?? 25000)

/** The running servers: asked whether they still live during a wait, and for their log when it ran out. */
const witnesses = new Set()

export function addWitness (witness) {
  witnesses.add(witness)
  return () => witnesses.delete(witness)
}

export function explain (text) {
  const seen = [...witnesses].map((witness) => witness.describe())
  return new Error([text, ...seen].join('\n'))
}

/** Resolves with the first truthy value of `condition` (which may be async). */
export async function until (what, condition, { deadline = DEADLINE, every = 2 } = {}) {
  const end = Date.now() + deadline
  for (;;) {
    const value = await condition()
    if (value) return value
    for (const witness of witnesses) witness.assertAlive()
    if (Date.now() > end) throw explain(`waited ${deadline} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, every))
  }
}

/** The promise, or an error once the deadline has passed. */
export async function within (what, promise, deadline = DEADLINE) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(explain(`waited ${deadline} ms in vain for ${what}`)), deadline)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

let counter = 0

/** A name no other test of this run uses. */
export function unique (prefix) {
  counter += 1
  return `${prefix}/${process.pid.toString(36)}-${counter}`
}

const endings = new WeakMap()

/** Runs `ending` after the test, last registered first: clients leave before their server does. */
export function atEnd (t, ending) {
  const known = endings.get(t)
  if (known) {
    known.push(ending)
    return
  }
  const list = [ending]
  endings.set(t, list)
  t.after(async () => {
    const failures = []
    while (list.length > 0) await Promise.resolve().then(list.pop()).catch((error) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  })
}
