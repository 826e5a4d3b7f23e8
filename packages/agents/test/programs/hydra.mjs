// Refuses every polite end in every way at once: ignores signals, starts descendants in groups, sessions and
// environments of their own, one of them stopped, says their numbers and then floods its output.
import { spawn } from "node:child_process"
import { once } from "node:events"

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => {})

const deaf = 'trap "" TERM INT HUP; echo $$; exec sleep 300'
/** @param {import("node:child_process").SpawnOptions} options @param {string} script */
const start = async (script, options) => {
  const child = spawn("/bin/sh", ["-c", script], { ...options, stdio: ["ignore", "pipe", "ignore"] })
  const [line] = await once(child.stdout ?? process.stdin, "data")
  return Number(String(line))
}

const pids = [
  process.pid,
  await start(deaf, {}),
  await start(deaf, { detached: true }),
  await start(`(${deaf.replace("$$", "$(exec sh -c 'echo $PPID')")}) & exit 0`, { detached: true }),
  await start(deaf, { detached: true, env: {} })
]
const stopped = await start(deaf, { detached: true })
process.kill(stopped, "SIGSTOP")
pids.push(stopped)

process.stdout.write(`${pids.join(" ")}\n`)
const flood = "x".repeat(65_536)
const pour = () => {
  while (process.stdout.write(flood));
  process.stdout.once("drain", pour)
}
pour()
