// What the SDK for Java said to a server of its time, said to this one: the same answers, to the byte, and no others.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Play, parse } from '../helpers/conversation.mjs'
import { REFERENCE, serverFor } from '../helpers/server.mjs'
import { Webhook } from '../helpers/webhook.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
const folder = path.join(here, '../conversations')
const names = readdirSync(folder).filter((name) => name.endsWith('.txt')).map((name) => name.slice(0, -4))
const sourceOf = (name) => readFileSync(path.join(folder, `${name}.txt`), 'utf8')
const reasons = readFileSync(path.join(here, '../../../docs/text-protocol.md'), 'utf8').replaceAll('¦', '|')

const RULES = {
  presence: { '*': { allow: true } },
  record: {
    '*': { create: true, write: true, read: true, delete: true, listen: true },
    'noread/.*': { read: false },
    'nowrite/.*': { write: false },
    'nocreate/.*': { create: false },
    'guarded/.*': { write: "data.a !== 'forbidden'" }
  },
  event: { '*': { publish: true, subscribe: true, listen: true }, 'nopublish/.*': { publish: false }, 'nosubscribe/.*': { subscribe: false } },
  rpc: { '*': { provide: true, request: true }, 'noprovide/.*': { provide: false }, 'norequest/.*': { request: false } }
}

/** Logins as the server that was written down judged them. */
async function logins (t) {
  const hook = await Webhook.start(t, ({ body }, respond) => {
    const username = body.authData?.username
    if (username === 'bad') respond(403, '')
    else if (username === 'baddata') respond(403, { clientData: { reason: 'because' } })
    else if (username === 'withdata') respond(200, { username, clientData: { color: 'red' } })
    else respond(200, { username: username ?? 'open' })
  })
  const auth = [{ type: 'http', options: { endpointUrl: hook.url, permittedStatusCodes: [200], requestTimeout: 5000 } }]
  return { textEndpoint: { maxAuthAttempts: 3 }, extra: { auth } }
}

const ruled = () => ({ extra: { permission: { type: 'config', options: { permissions: RULES } } } })

/** What a conversation needs of its server, beyond what every server has. */
const SERVERS = {
  login: logins,
  refused: logins,
  silent: () => ({ textEndpoint: { unauthenticatedClientTimeout: 300 } }),
  calls: () => ({ extra: { rpc: { ackTimeout: 1200, responseTimeout: 2400 } } }),
  denied: ruled,
  'too-high': ruled,
  restart: () => ({ memory: false })
}

async function played (t, name, source = sourceOf(name), deadline) {
  const server = await serverFor(t, { memory: true, ...await SERVERS[name]?.(t) })
  await new Play(server, deadline).perform(source)
}

describe('what the SDK for Java says', { skip: REFERENCE }, () => {
  for (const name of names) test(name, (t) => played(t, name))
})

describe('conversations', { skip: REFERENCE }, () => {
  test('every difference to the old server has a reason that the documents give', () => {
    for (const name of names) {
      for (const { line, sign, text } of parse(sourceOf(name))) {
        if (sign === 'why') assert.ok(reasons.includes(text), `${name}, line ${line}: docs/text-protocol.md gives no such reason: ${text}`)
      }
    }
  })

  /** The conversation with one line changed. */
  const doctored = (name, line, ...instead) => {
    const lines = sourceOf(name).split('\n')
    const at = lines.indexOf(line)
    assert.ok(at > 0, line)
    lines.splice(at, 1, ...instead)
    return lines.join('\n')
  }
  const told = 'b< R|U|whole/{run}|2|{"a":2}+'

  for (const [what, source, error] of [
    ['missing', () => doctored('whole', 'a close', 'a< R|A|S|whole/{run}+', 'a close'), /vain until a is told something/],
    ['missing, with more behind it', () => doctored('events', 'b< E|A|S|event/{run}+', 'b< E|A|S|event/{run}+', 'b< E|EVT|event/{run}|Snone+'), /Snone/],
    ['other', () => doctored('events', 'b< E|EVT|event/{run}|N1.5+', 'b< E|EVT|event/{run}|N1.50+'), /N1\.50/],
    ['added', () => doctored('events', 'b< E|EVT|event/{run}|N1.5+'), /N1\.5/],
    ['added at the end', () => doctored('events', 'b> E|US|event/{run}+', 'b> E|US|event/{run}+', '# its answer is left out').replace('b< E|A|US|event/{run}+\n', ''), /more than it should be: E\|A\|US/]
  ]) {
    test(`a play fails when an answer is ${what}`, async (t) => {
      await assert.rejects(played(t, 'whole', source(), 500), error)
    })
  }
})
