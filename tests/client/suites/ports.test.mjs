// Ports for servers, asked for by many processes at once: nobody is given another's.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { freePort } from '../helpers/ports.mjs'
import { atEnd, within } from '../helpers/until.mjs'

const MODULE = new URL('../helpers/ports.mjs', import.meta.url).href

/** Another process, which asks for ports from `first` on, prints them, and holds them until the test ends. */
async function asks (t, count, first) {
  const script = `Math.random = () => ${first}
    const { freePort } = await import('${MODULE}')
    const ports = []
    for (let i = 0; i < ${count}; i += 1) ports.push(await freePort())
    console.log(ports.join())
    process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  const kill = () => {
    child.kill('SIGKILL')
    return closed
  }
  atEnd(t, kill)
  const [line] = await within('another process to choose its ports', once(child.stdout, 'data'))
  return { kill, ports: String(line).trim().split(',').map(Number) }
}

test('ports asked for by several processes at once are all different', async (t) => {
  const own = Array.from({ length: 20 }, freePort)
  const others = await Promise.all([0, 0, 0].map((first) => asks(t, 20, first)))
  const all = [...await Promise.all(own), ...others.flatMap(({ ports }) => ports)]
  assert.equal(all.length, 80)
  assert.equal(new Set(all).size, 80, `a port was given twice: ${all}`)
})

test('a port somebody listens on is passed over, and what a killed process held is given again', async (t) => {
  const start = Math.random()
  const first = await asks(t, 20, start)
  const listener = net.createServer().listen(first.ports[0], '127.0.0.1')
  await once(listener, 'listening')
  atEnd(t, () => listener.close())
  await first.kill()
  const { ports } = await asks(t, 20, start)
  assert.ok(!ports.includes(first.ports[0]), `${first.ports[0]} is listened on`)
  // Not all of them: other tests choose ports meanwhile.
  const again = ports.filter((port) => first.ports.includes(port))
  assert.ok(again.length > 10, `held were ${first.ports}, given then ${ports}`)
})
