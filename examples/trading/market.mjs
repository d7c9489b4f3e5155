// A market: quotes symbols while somebody looks at them, and fills orders.
//
//   node market.mjs [HOST:PORT]

import { DeepstreamClient } from '@deepstream/client'

const [url = 'localhost:6020'] = process.argv.slice(2)
const TICK_MS = 200

const client = new DeepstreamClient(url, { subscriptionInterval: 0 })
client.on('error', (message) => console.error(message))
await client.login({ username: 'market' })

/** The symbols that somebody looks at, and how to stop quoting them. */
const quoted = new Map()

async function quote (name) {
  const record = client.record.getRecord(name)
  await record.whenReady()
  if (record.get('price') === undefined) record.set({ price: 100, time: Date.now() })
  const timer = setInterval(() => {
    const price = Number((record.get('price') * (1 + (Math.random() - 0.5) / 200)).toFixed(2))
    record.set('price', price)
    record.set('time', Date.now())
  }, TICK_MS)
  return () => {
    clearInterval(timer)
    record.discard()
  }
}

client.record.listen('^quote/[A-Z]+$', (name, response) => {
  console.log(`somebody looks at ${name}`)
  const stop = quote(name)
  quoted.set(name, stop)
  response.onStop(() => {
    console.log(`nobody looks at ${name}`)
    quoted.delete(name)
    stop.then((stop) => stop())
  })
  response.accept()
})

client.rpc.provide('order', async ({ trader, symbol, side, quantity }, response) => {
  const name = `quote/${symbol}`
  if (!quoted.has(name)) return response.error('nobody quotes that')
  const { price } = await client.record.snapshot(name)
  const fill = { symbol, side, quantity, price, time: Date.now() }
  const list = client.record.getList(`orders/${trader}`)
  await list.whenReady()
  list.addEntry(JSON.stringify(fill))
  response.send(fill)
})
console.log('the market is open')
