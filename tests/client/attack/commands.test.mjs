// What the program shows its operator: secrets in environment variables, password hashes, permission files, invalid
// files, starts without a file, and the log.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createHmac, pbkdf2Sync } from 'node:crypto'
import path from 'node:path'
import { describe, test } from 'node:test'
import { loggedIn } from '../helpers/clients.mjs'
import { freePort } from '../helpers/ports.mjs'
import { Raw } from '../helpers/raw.mjs'
import { BINARY, Server, configuration, serverFor, workspace } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { AUTH, TOPIC } from '../helpers/wire.mjs'

/** Runs the program to its end; answers {code, out, err}. */
async function run (t, args, { input, cwd, env = {}, command = BINARY } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  atEnd(t, () => child.kill('SIGKILL'))
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk) => { out += chunk })
  child.stderr.on('data', (chunk) => { err += chunk })
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const code = await within(`${args.join(' ')} to end`, new Promise((resolve) => child.once('close', resolve)), 30000)
  return { code, out, err }
}

/** A directory with these files. */
async function directory (t, files = {}) {
  const made = await workspace()
  atEnd(t, () => rm(made, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(made, name)), { recursive: true })
    writeFileSync(path.join(made, name), text)
  }
  return made
}

/** Whether the hash that was printed is of that password. */
function isHash (out, password, { digest = 'sha256', iterations = 600000, bytes = 32 } = {}) {
  const [, hash] = /^Password hash: (\S+)\n$/.exec(out) ?? []
  assert.ok(hash, out)
  const length = 4 * Math.ceil(bytes / 3)
  const key = pbkdf2Sync(password, hash.slice(length), iterations, bytes, digest).toString('base64')
  return hash.startsWith(key)
}

describe('a secret of the environment', () => {
  const token = (secret) => {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const text = `${part({ alg: 'HS256' })}.${part({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 600 })}`
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
  }

  for (const secret of ['pa55 #1', '"quoted"', '  spaces  ', '12345678', '0x1f', '007', 'true', 'x: y', '{a}', '%TAG', '${HOME}', "it's"]) {
    test(`${JSON.stringify(secret)} is the secret`, async (t) => {
      const prepared = await Server.prepare({ memory: true })
      atEnd(t, () => prepared.discard())
      const base = JSON.parse(readFileSync(prepared.config, 'utf8'))
      delete base.auth
      writeFileSync(prepared.config, `auth:\n  - type: jwt\n    options:\n      secret: \${JWT_SECRET}\n${Object.entries(base).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join('\n')}\n`)
      prepared.environment = { JWT_SECRET: secret }
      await prepared.launch()
      assert.ok(!prepared.log.includes(secret) || ['true', '007'].includes(secret), prepared.log)
      const raw = await Raw.challenged(prepared)
      atEnd(t, () => raw.close?.())
      raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ token: token(secret) }) })
      assert.equal((await raw.take()).action, AUTH.AUTH_SUCCESSFUL)
    })
  }

  test('is in no error of the start', async (t) => {
    const made = await directory(t, { 'config.yml': 'logLevel: ${SECRET}\nauth:\n  - type: jwt\n    options: {publicKey: ${SECRET}}\nhttpServer: {options: {port: 1${SECRET}}}\n' })
    const { code, err } = await run(t, ['start', '-c', 'config.yml'], { cwd: made, env: { SECRET: 'hunter2' } })
    assert.equal(code, 78)
    assert.equal(err.trim().split('\n').length, 3, err)
    assert.match(err, /the environment variable SECRET/)
    assert.ok(!err.includes('hunter2'), err)
  })
})

describe('deepstream hash', () => {
  test('works where nothing is installed, and says what to write where', async (t) => {
    const made = await directory(t)
    const { code, out, err } = await run(t, ['hash', 'open'], { cwd: made })
    assert.equal(code, 0, err)
    assert.ok(isHash(out, 'open'))
    assert.ok(err.includes(out.trim().replace('Password hash: ', '')), err)
    for (const line of ['hash: sha256', 'iterations: 600000', 'keyLength: 32', 'users: fileLoad(users.yml)']) assert.ok(err.includes(line), err)
    assert.ok(!err.includes('open') && !out.includes('open'))
  })

  test('reads the standard input, and takes algorithm, iterations and length as flags', async (t) => {
    const made = await directory(t)
    const flags = ['--algorithm', 'sha512', '--iterations', '1000', '--key-length', '64']
    for (const [args, input] of [[[], 'se cret\n'], [['-'], 'se cret'], [[], 'se cret\r\n']]) {
      const { code, out, err } = await run(t, ['hash', ...flags, ...args], { cwd: made, input })
      assert.equal(code, 0, err)
      assert.ok(isHash(out, 'se cret', { digest: 'sha512', iterations: 1000, bytes: 64 }), `${args} ${JSON.stringify(input)}`)
    }
    const other = await run(t, ['hash', '--hash', 'md5', '--iterations', '9', 'x'], { cwd: made })
    assert.ok(isHash(other.out, 'x', { digest: 'md5', iterations: 9 }))
    for (const [input, said] of [['', 'Must provide password to hash'], ['a\nb\n', 'more than one line']]) {
      const { code, out, err } = await run(t, ['hash'], { cwd: made, input })
      assert.deepEqual([code, out], [1, ''])
      assert.match(err, new RegExp(`^Error: .*${said}`))
    }
    const wrong = await run(t, ['hash', '--algorithm', 'rot13', 'x'], { cwd: made })
    assert.match(wrong.err, /^Provided --algorithm must be one of md5, sha1/)
  })

  test('goes by a configuration whose users are not hashed yet, or not there', async (t) => {
    const config = 'auth:\n  - type: file\n    options:\n      users: fileLoad(users.yml)\n      hash: md5\n      iterations: 100\n      keyLength: 32\n'
    for (const files of [{ 'config.yml': config }, { 'config.yml': config, 'users.yml': 'ann:\n  password: plain\n' }]) {
      const made = await directory(t, files)
      const { code, out, err } = await run(t, ['hash', '-c', 'config.yml', 'open'], { cwd: made })
      assert.equal(code, 0, err)
      assert.ok(isHash(out, 'open', { digest: 'md5', iterations: 100 }))
      assert.match(err, /The configuration has passwords hashed this way/)
      const stronger = await run(t, ['hash', '-c', 'config.yml', '--algorithm', 'sha256', 'open'], { cwd: made })
      assert.ok(isHash(stronger.out, 'open'))
      assert.match(stronger.err, /hashed otherwise \(md5, 100, 32\)/)
    }
  })

  test('asks at a terminal, and shows nothing of it', { skip: !existsSync('/usr/bin/script') }, async (t) => {
    const made = await directory(t)
    const command = `${BINARY} hash --iterations 1000; stty -a | tr ' ;' '\\n' | grep -x -e echo -e icanon -e isig`
    // A pseudo terminal on which the test types.
    const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: made, stdio: ['pipe', 'pipe', 'pipe'] })
    atEnd(t, () => child.kill('SIGKILL'))
    let seen = ''
    child.stdout.on('data', (chunk) => { seen += chunk })
    await until('it asks', () => seen.includes('Password: '))
    child.stdin.write('opem\x7fn\r')
    await until('it asks again', () => seen.includes('Again: '))
    child.stdin.write('open\r')
    await within('the hash', new Promise((resolve) => child.stdout.on('close', resolve)), 30000)
    const line = seen.split(/\r?\n/).find((line) => line.startsWith('Password hash: '))
    assert.ok(line && isHash(`${line}\n`, 'open', { iterations: 1000 }), seen)
    assert.ok(!/ope[nm]/.test(seen), seen)
    assert.deepEqual(seen.split(/\r?\n/).filter((line) => ['echo', 'icanon', 'isig'].includes(line)).sort(), ['echo', 'icanon', 'isig'], 'the terminal is as it was')
  })
})

describe('deepstream permissions check', () => {
  const open = "event: {'*': {}}\nrpc: {'*': {}}\npresence: {'*': {}}\n"

  test('tells every fault in one pass, by line and column', async (t) => {
    const made = await directory(t, { 'p.yml': "record:\n  '/a': {read: true}\n  b:\n    read: alert(1)\n    read: true\n    paint: true\nevent: {'*': {publish: 'data.'}}\nrpc: {}\nrules: {}\n" })
    const { code, out, err } = await run(t, ['permissions', 'check', 'p.yml'], { cwd: made })
    assert.deepEqual([code, out], [1, ''])
    const expected = [
      /^p\.yml:5:5: duplicate key "read"$/m,
      /^p\.yml:1:1: missing configuration section "presence"$/m,
      /^p\.yml:9:1: unexpected configuration section "rules"$/m,
      /^p\.yml:2:3: path can't start with \/ for path \/a in section record$/m,
      /^p\.yml:8:1: empty section "rpc"$/m,
      /^p\.yml:1:1: missing root entry "\*" for section record$/m,
      /^p\.yml:4:11: record "b" read: function alert is not supported$/m,
      /^p\.yml:6:5: unknown rule type paint in section record$/m,
      /^p\.yml:7:\d+: event "\*" publish: SyntaxError/m
    ]
    for (const line of expected) assert.match(err, line)
    assert.match(err, new RegExp(`^p\\.yml: ${expected.length} faults$`, 'm'))
  })

  test('does not call a file with warnings good', async (t) => {
    const made = await directory(t, { 'p.yml': `record:\n  '*': {read: true}\n  example.com/$x: {read: nobody.id}\n${open}`, 'good.yml': `record:\n  '*': {read: true}\n${open}` })
    const odd = await run(t, ['permissions', 'check', 'p.yml'], { cwd: made })
    assert.equal(odd.code, 0, 'the server takes it')
    assert.match(odd.out, /^warning: p\.yml:3:3: record "example\.com\/\$x": paths are regular expressions.* write example\\\.com\/\$x$/m)
    assert.match(odd.out, /^warning: p\.yml:3:26: record "example\.com\/\$x" read: nobody is not defined/m)
    assert.match(odd.out, /^p\.yml: 2 rules that can be used, with 2 warnings$/m)
    assert.ok(!odd.out.includes('good'), odd.out)
    const strict = await run(t, ['permissions', 'check', '--strict', 'p.yml'], { cwd: made })
    assert.equal(strict.code, 1)
    assert.match(strict.err, /with 2 warnings$/m)
    const good = await run(t, ['permissions', 'check', '--strict', 'good.yml'], { cwd: made })
    assert.deepEqual([good.code, good.out], [0, 'good.yml: 1 rules, all of them good\n'])
  })
})

describe('what is no configuration', () => {
  test('is called what it is', async (t) => {
    const made = await directory(t, { 'tab.yml': 'httpServer:\n\toptions:\n\t\tport: 7000\n', 'conf/config.yml': 'logLevel: 9\n', 'load.yml': 'auth: {type: file, options: {users: fileLoad(conf)}}\n' })
    for (const [args, env, said] of [
      [['start', '-c', 'conf'], {}, /^conf: is a directory, not a configuration file; give -c the path of a file: conf\/config\.yml is one$/m],
      [['start'], { DEEPSTREAM_CONFIG_DIRECTORY: 'conf' }, /is a directory, not a configuration file; the path comes from the environment variable DEEPSTREAM_CONFIG_DIRECTORY, which names a file/],
      [['start', '-c', 'tab.yml'], {}, /^tab\.yml:2: cannot be parsed: the line is indented with a tab; YAML is indented with spaces only$/m],
      [['start', '-c', 'load.yml'], {}, /load\.yml:1: .*conf for fileLoad\(conf\) is a directory, not a file/],
      [['start', '-c', 'gone.yml'], {}, /Configuration file not found at: gone\.yml/],
      [['permissions', 'check', 'conf'], {}, /^conf: is a directory, not a file; give the path of a permission file$/m],
      [['permissions', 'check', 'tab.yml'], {}, /^tab\.yml:2:1: cannot be parsed: the line is indented with a tab/m]
    ]) {
      const { code, err } = await run(t, args, { cwd: made, env })
      assert.notEqual(code, 0, args.join(' '))
      assert.match(err, said)
    }
  })
})

/** A server of its own command line, in a directory of its own; its standard output and error go where `stdio` says. */
async function started (t, made, args, port, options = {}) {
  const child = spawn(BINARY, ['start', '--host', '127.0.0.1', '--port', String(port), '--shards', '1', ...args], { cwd: made, stdio: ['ignore', 'pipe', 'pipe'], ...options })
  atEnd(t, () => child.kill('SIGKILL'))
  let log = ''
  child.stdout?.on('data', (chunk) => { log += chunk })
  child.stderr?.on('data', (chunk) => { log += chunk })
  const ended = new Promise((resolve) => child.once('close', resolve))
  await until('the server answers', async () => {
    assert.equal(child.exitCode, null, log)
    return fetch(`http://127.0.0.1:${port}/health-check`, { headers: { connection: 'close' } }).then((answer) => answer.status === 200, () => false)
  }, { deadline: 20000, every: 10 })
  return { log: () => log, stop: async () => { child.kill('SIGTERM'); await within('the end', ended) } }
}

test('without a configuration file the server starts with its defaults, and says so', async (t) => {
  const [made, port] = [await directory(t), await freePort()]
  const server = await started(t, made, [], port)
  assert.match(server.log(), /^CONFIG_DEFAULTS \| there is no configuration file, so the built-in defaults are in force: port \d+ of 127\.0\.0\.1, records are kept in .*\/data, everybody may log in/m)
  assert.ok(existsSync(path.join(made, 'data')), 'records are in ./data')
  const client = await loggedIn(t, { url: `127.0.0.1:${port}` })
  await within('a write', client.record.setDataWithAck('a', { b: 1 }))
  client.close()
  await server.stop()
})

test('log lines have the time in files, and not in pipes', async (t) => {
  const made = await directory(t)
  const write = (extra) => writeFileSync(path.join(made, 'config.yml'), JSON.stringify(configuration({ port: 1, memory: true, shards: 1, extra })))
  const lines = async (extra, toFile) => {
    write(extra)
    const file = path.join(made, 'log')
    const fd = openSync(file, 'w')
    const server = await started(t, made, ['-c', 'config.yml'], await freePort(), toFile ? { stdio: ['ignore', fd, fd] } : {})
    await server.stop()
    closeSync(fd)
    return (toFile ? readFileSync(file, 'utf8') : server.log()).trim().split('\n')
  }
  const stamped = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [A-Z_]+ \| /
  const plain = /^[A-Z_]+ \| /
  for (const [extra, toFile, shape] of [
    [{}, true, stamped],
    [{}, false, plain],
    [{ logger: { type: 'default', options: { timestamps: true } } }, false, stamped],
    [{ logger: { type: 'default', options: { timestamps: false } } }, true, plain]
  ]) {
    const told = await lines(extra, toFile)
    assert.ok(told.length > 3, told.join('\n'))
    for (const line of told) assert.match(line, shape)
  }
})

test('a name that turns the reading direction or ends lines for some readers is escaped in the log', async (t) => {
  const name = 'eve\u2028INFO | root\u202e\u0085\u2066\u200fx\t'
  for (const logger of [{ type: 'default' }, { name: 'pino' }]) {
    const server = await serverFor(t, { memory: true, extra: { logger } })
    const raw = await Raw.challenged(server)
    atEnd(t, () => raw.close?.())
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ username: name }) })
    await raw.take()
    await until('the login is logged', () => server.log.includes('INFO | root'))
    assert.ok(!/[\u2028\u202e\u0085\u2066\u200f\t]/.test(server.log), JSON.stringify(server.log))
    if (logger.name === 'pino') {
      const line = server.log.split('\n').find((line) => line.includes('INFO | root'))
      assert.ok(JSON.parse(line).message.includes(name))
    }
  }
})
