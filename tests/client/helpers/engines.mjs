// Real databases and busses, each a process of a test's own: at a free port, in a directory of its own, and gone when
// the test is, however it ends. `tests/engines` starts them, and knows the kinds.

import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = path.dirname(fileURLToPath(import.meta.url))
const ENGINES = path.resolve(process.env.DEEPSTREAM_ENGINES ?? path.join(here, '../../../target/checked/engines'))

export class Engine {
  /**
   * Starts one, and resolves when it serves. Options: `tls`; `address`, in place of 127.0.0.1; `settings`, in the engine's own
   * words; `namespace`, the network namespace that it is to live in.
   */
  static async start (kind, { tls = false, address, settings = {}, namespace } = {}) {
    if (!existsSync(ENGINES)) throw new Error(`${ENGINES} is missing: scripts/e2e builds it, or cargo build -p deepstream-engines and DEEPSTREAM_ENGINES`)
    const words = [ENGINES, 'run', kind, ...(tls ? ['--tls'] : []), ...(address ? ['--address', address] : [])]
    for (const [key, value] of Object.entries(settings)) words.push('--set', `${key}=${value}`)
    if (namespace) words.unshift('ip', 'netns', 'exec', namespace)
    const engine = new this()
    engine.child = spawn(words[0], words.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] })
    engine.child.stdin.on('error', () => {})
    engine.said = ''
    engine.child.stderr.on('data', (chunk) => { engine.said += chunk })
    engine.exited = new Promise((resolve, reject) => {
      engine.child.once('error', reject)
      engine.child.once('close', resolve)
    })
    engine.exited.catch(() => {})
    engine.lines = createInterface({ input: engine.child.stdout })[Symbol.asyncIterator]()
    Object.assign(engine, await engine.answer())
    return engine
  }

  /** What it is told next, by whichever order. Orders are obeyed one after the other. */
  async answer () {
    const { value, done } = await this.lines.next()
    if (done) {
      // What it said last may come after the end of its answers.
      const code = await this.exited
      throw new Error(`the engine has ended with ${code}: ${this.said}`)
    }
    return JSON.parse(value)
  }

  order (...words) {
    const given = (this.last ?? Promise.resolve()).then(async () => {
      this.child.stdin.write(`${words.filter(Boolean).join(' ')}\n`)
      const { error, pid } = await this.answer()
      if (error) throw new Error(error)
      this.pid = pid
    })
    this.last = given.catch(() => {})
    return given
  }

  /** Ends it, or the one of its processes that is named, at once, as if the machine had failed. What it wrote stays. */
  kill (node) { return this.order('kill', node) }

  /** Ends it in order. What it wrote stays. */
  end (node) { return this.order('end', node) }

  /** Stops it, as a debugger would: its connections stay open and nothing answers. */
  freeze (node) { return this.order('freeze', node) }

  /** Lets it go on. */
  thaw (node) { return this.order('thaw', node) }

  /** Starts it again, at its port and with what it wrote. */
  launch (node) { return this.order('launch', node) }

  /** Ends it and removes its files. */
  async discard () {
    this.child.stdin.end()
    await this.exited
  }

  /** What a program that came with it says. */
  async tool (name, words, options = {}) {
    return (await run(this.tools ? path.join(this.tools, name) : name, words, options)).stdout
  }
}
