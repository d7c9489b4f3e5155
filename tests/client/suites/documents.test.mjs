// What the documentation shows is run: its samples as they are pasted, its commands, and the examples.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import timers from 'node:timers'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import WebSocket from 'ws'
import { user } from '../helpers/clients.mjs'
import { mqttServer } from '../helpers/mqtt.mjs'
import { BINARY, REFERENCE, serverFor } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'

const skip = REFERENCE
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..')
const read = (file) => readFileSync(path.join(root, file), 'utf8')

/** The blocks of code of a document, fenced by their language. */
function blocks (document, language) {
  const fence = new RegExp('^```' + language + '\\n([^]*?)^```', 'gm')
  return [...read(document).matchAll(fence)].map(([, code]) => code)
}

/** Every document of the book, and what stands beside it. */
const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', 'examples/README.md', 'examples/trading/README.md', ...readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]

/** A folder in which the client is installed, as `npm install` leaves it. */
function installed (server) {
  const folder = path.join(server.directory, 'samples')
  if (!existsSync(folder)) {
    mkdirSync(folder)
    symlinkSync(path.join(root, 'tests/client/node_modules'), path.join(folder, 'node_modules'))
  }
  return folder
}

/** Runs a program; what it prints is collected in `lines`. */
function run (t, server, name, code, ...rest) {
  const file = path.join(installed(server), name)
  writeFileSync(file, code.replaceAll('localhost:6020', server.url))
  const child = spawn(process.execPath, [file, ...rest], { cwd: installed(server) })
  const program = { child, lines: [], text: '' }
  const keep = (chunk) => {
    program.text += chunk
    program.lines = program.text.split('\n').slice(0, -1)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  program.ended = new Promise((resolve) => child.once('close', resolve))
  atEnd(t, () => child.kill('SIGKILL'))
  return program
}

/** Runs a program to its end and answers the lines that it printed. */
async function output (t, server, name, code) {
  const program = run(t, server, name, code)
  assert.equal(await within(`the end of ${name}`, program.ended, 20000), 0, program.text)
  return program.lines
}

/** As much of a page as the examples use. */
class Element {
  constructor (tag) {
    Object.assign(this, { tag, textContent: '', value: '', className: '', disabled: false, children: [], listeners: {} })
  }

  addEventListener (name, listener) { this.listeners[name] = listener }
  append (...children) {
    children.forEach((child) => { child.parent = this })
    this.children.push(...children)
  }

  replaceChildren (...children) {
    this.children = []
    this.append(...children)
  }

  remove () { this.parent.children = this.parent.children.filter((child) => child !== this) }
  get all () { return [this, ...this.children.flatMap((child) => child.all)] }
  find (text) { return this.all.find((element) => element.textContent === text) }
}

/** Runs the scripts of a page, the official client's bundle for browsers first, and answers its elements by their ids. */
function page (t, server, html, hash) {
  const [, source] = html.match(/<script src="https:\/\/cdn\.jsdelivr\.net\/npm\/(.*?)">/)
  const bundle = read(`tests/client/node_modules/${source.replace(/@\d+\.\d+\.\d+/, '')}`)
  const { version } = JSON.parse(read('tests/client/node_modules/@deepstream/client/package.json'))
  assert.ok(source.includes(`@${version}/`), 'the page loads the release that is tested')
  const elements = {}
  for (const [tag, id] of html.matchAll(/<[^>]*id="(\w+)"[^>]*>/g)) {
    elements[id] = Object.assign(new Element(), { disabled: / disabled\b/.test(tag) })
  }
  const document = { getElementById: (id) => elements[id], createElement: (tag) => new Element(tag) }
  const browser = vm.createContext({ document, location: { hash }, WebSocket, console, TextEncoder, TextDecoder, ...timers })
  Object.assign(browser, { window: browser, self: browser })
  vm.runInContext(bundle, browser)
  const [, script] = html.match(/<script type="module">\n([^]*?)<\/script>/)
  vm.runInContext(`(async () => {${script.replace('const client =', 'const client = window.client =')}})()`, browser)
  const close = () => browser.client.close()
  atEnd(t, close)
  return { ...elements, document, close }
}

describe('samples', { skip }, () => {
  test('that of the README runs as it is pasted', async (t) => {
    const server = await serverFor(t, { memory: true })
    const [sample, ...others] = blocks('README.md', 'js')
    assert.deepEqual(others, [])
    assert.deepEqual(await output(t, server, 'first.mjs', sample), [
      'position { x: 1, y: 2 }',
      'position { x: 7, y: 2 }',
      "news { from: 'me' }",
      '5 + 2 = 7',
      'online besides me: []'
    ])
  })

  test('those for Node do what is said of them', async (t) => {
    const server = await serverFor(t, { memory: true })
    const [watch, drive, convert, ...others] = blocks('docs/quick-start.md', 'js')
    assert.deepEqual(others, [])
    const watching = run(t, server, 'watch.mjs', watch)
    const known = await user(t, server, 'probe')
    await until('it watches', () => known.record.has('driver/15'))
    await output(t, server, 'drive.mjs', drive)
    await until('it has seen the drive', () => watching.text.includes('{ x: 2, y: 2 }'))
    assert.deepEqual(await output(t, server, 'convert.mjs', convert), ['NO_RPC_PROVIDER', '{ cent: 500 }'])
  })

  test('those for curl are answered', async (t) => {
    const server = await serverFor(t, { memory: true })
    const curls = DOCUMENTS.flatMap((document) => [
      ...blocks(document, 'sh'),
      ...read(document).split(/\n\n+/).filter((part) => part.startsWith('    curl '))
    ]).filter((code) => code.trim().startsWith('curl '))
    assert.equal(curls.length, 2)
    for (const code of curls) {
      const shell = spawnSync('sh', ['-c', code.replace('localhost:6020', server.url)], { encoding: 'utf8', timeout: 20000 })
      assert.equal(JSON.parse(shell.stdout).result, 'SUCCESS', code + shell.stdout + shell.stderr)
    }
  })

  test('those for MQTT reach a record', async (t) => {
    if (spawnSync('mosquitto_pub', ['--help']).error) return t.skip('mosquitto_pub is not installed')
    const server = await mqttServer(t)
    const client = await user(t, server, 'probe')
    const [command] = read('docs/quick-start.md').match(/mosquitto_pub .*/)
    const shell = spawnSync('sh', ['-c', command.replace('mosquitto_pub', `mosquitto_pub -q 1 -p ${server.mqttPort}`)], { encoding: 'utf8', timeout: 20000 })
    assert.equal(shell.status, 0, shell.stderr)
    assert.deepEqual(await client.record.snapshot('driver/15'), { speed: 60 })
  })

  test('that for a browser runs with the bundle it names', async (t) => {
    const server = await serverFor(t, { memory: true })
    const [html, ...others] = blocks('docs/quick-start.md', 'html')
    assert.deepEqual(others, [])
    const { document } = page(t, server, html.replace('localhost:6020', server.url), '')
    const client = await user(t, server, 'probe')
    await until('the title tells the speed', async () => {
      await client.record.setDataWithAck('driver/15', 'speed', 50)
      return document.title === '50 km/h'
    }, { every: 20 })
  })

  test('commands of the program are ones that it has', () => {
    const commands = DOCUMENTS.flatMap((document) => [...read(document).matchAll(/^ {4}deepstream (.*)$/gm)].map(([, rest]) => rest))
    assert.ok(commands.length > 5)
    for (const rest of commands) {
      const words = rest.split(' #')[0].split(' ').filter((word) => word !== '')
      const flags = words.filter((word) => word.startsWith('-')).map((word) => word.split('=')[0])
      const names = words.slice(0, words[0] === 'permissions' ? 2 : 1)
      const { status, stdout, stderr } = spawnSync(BINARY, [...names, '--help'], { encoding: 'utf8' })
      assert.equal(status, 0, `${rest}: ${stderr}`)
      for (const flag of flags) assert.match(stdout, new RegExp(`${flag}\\b`), `${rest}: there is no ${flag}`)
    }
  })

  test('the case and the rules in the chapter on permissions are judged as is said', async (t) => {
    const server = await serverFor(t, { memory: true })
    const rules = read('docs/permissions.md').match(/```yaml,rules\n([^]*?)```/)[1]
    writeFileSync(path.join(server.directory, 'permissions.yml'), rules)
    const [one] = read('docs/permissions.md').match(/\{action: record\.write[^`]*\}/)
    writeFileSync(path.join(server.directory, 'cases.yml'), `- ${one}\n`)
    const at = { encoding: 'utf8', cwd: server.directory }
    assert.equal(spawnSync(BINARY, ['permissions', 'check', 'permissions.yml', '--strict'], at).status, 0)
    assert.equal(spawnSync(BINARY, ['permissions', 'test', 'permissions.yml', 'cases.yml'], at).status, 0)
    const [explain] = read('docs/permissions.md').match(/^ {4}deepstream permissions explain .*$/m)
    const said = spawnSync('sh', ['-c', explain.trim().replace('deepstream', BINARY)], at)
    assert.match(said.stdout, /allow/i, said.stderr)
  })
})

describe('examples', { skip }, () => {
  test('two terminals chat', async (t) => {
    const server = await serverFor(t, { memory: true })
    const chat = read('examples/node/chat.mjs')
    const ann = run(t, server, 'ann.mjs', chat, 'ann', server.url)
    await until('ann is there', () => ann.text.includes('* here: ann'))
    const bob = run(t, server, 'bob.mjs', chat, 'bob', server.url)
    await until('ann sees bob', () => ann.text.includes('* bob comes'))
    await until('bob sees ann', () => /\* here: .*ann/.test(bob.text))
    bob.child.stdin.end('hello\n')
    await until('ann reads bob', () => ann.text.includes('bob: hello'))
    assert.equal(await within('the end of bob', bob.ended), 0, bob.text)
    await until('ann sees bob go', () => ann.text.includes('* bob goes'))
    const late = run(t, server, 'late.mjs', chat, 'late', server.url)
    await until('what was said is kept', () => late.text.includes('bob: hello'))
  })

  test('two pages share a note', async (t) => {
    const server = await serverFor(t, { memory: true })
    const first = page(t, server, read('examples/browser/index.html'), `#${server.url}`)
    await until('the first may write', () => !first.text.disabled)
    const second = page(t, server, read('examples/browser/index.html'), `#${server.url}`)
    await until('they see each other', () => first.people.textContent.includes('guest-'))
    await until('the second may write', () => !second.text.disabled)
    first.text.value = 'milk'
    first.text.listeners.input()
    await until('the second reads the first', () => second.text.value === 'milk')
  })

  test('a market quotes what somebody looks at, and fills orders', async (t) => {
    const directory = path.join(root, 'examples/trading')
    const permissions = { type: 'config', options: { permissions: `fileLoad(${directory}/permissions.yml)` } }
    const server = await serverFor(t, { memory: true, extra: { permission: permissions } })
    const market = run(t, server, 'market.mjs', read('examples/trading/market.mjs'), server.url)
    await until('the market is open', () => market.text.includes('the market is open'))
    assert.doesNotMatch(market.text, /looks at/)
    const screen = page(t, server, read('examples/trading/index.html'), `#ann@${server.url}`)
    await until('the price is live', () => /^\d+\.\d\d$/.test(screen.quotes.children[0]?.children[1].textContent))
    assert.match(market.text, /somebody looks at quote\/ACME/)
    screen.quotes.find('buy').listeners.click()
    await until('the order is filled', () => /^buy 1 ACME at \d/.test(screen.answer.textContent))
    await until('the order is listed', () => screen.orders.children.length === 1)
    const bob = await user(t, server, 'bob')
    bob.mayFail = true
    await assert.rejects(bob.rpc.make('order', { trader: 'ann', symbol: 'ACME', side: 'buy', quantity: 1 }))
    await assert.rejects(bob.record.setDataWithAck('quote/ACME', { price: 1 }))
    await assert.rejects(bob.record.snapshot('orders/ann'))
    screen.close()
    await until('nobody looks any more', () => market.text.includes('nobody looks at quote/ACME'))
  })
})
