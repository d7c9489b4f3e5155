// A chat in a terminal: lines are events, who is there is presence, and the last lines are kept in a list.
//
//   node chat.mjs NAME [HOST:PORT]

import { DeepstreamClient } from '@deepstream/client'
import { createInterface } from 'node:readline'

const [name = 'ann', url = 'localhost:6020'] = process.argv.slice(2)
const KEPT = 20

const client = new DeepstreamClient(url, { subscriptionInterval: 0 })
client.on('error', (message) => console.error(message))
await client.login({ username: name })

const history = client.record.getList('chat/history')
await history.whenReady()
history.getEntries().forEach((line) => console.log(line))

client.event.subscribe('chat', (line) => console.log(line))
client.presence.subscribe((user, online) => console.log(`* ${user} ${online ? 'comes' : 'goes'}`))
console.log(`* here: ${[name, ...await client.presence.getAll()].join(', ')}`)

for await (const text of createInterface({ input: process.stdin })) {
  const line = `${name}: ${text}`
  client.event.emit('chat', line)
  history.setEntries([...history.getEntries(), line].slice(-KEPT))
}
// Closing at once would lose what was not sent yet. When this request is answered, everything before it was sent.
await client.record.head('chat/history')
client.close()
