// Copies a store while its gateway runs: node backup.mjs <state directory> <target folder>
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

const [, , state, target] = process.argv
if (state === undefined || target === undefined) throw new Error("usage: backup.mjs <state directory> <target folder>")
process.umask(0o077)
mkdirSync(target, { recursive: true })
const copy = join(target, "journal.db")
rmSync(`${copy}.partial`, { force: true })

// One consistent moment, in one read transaction. A plain cp takes the file without its log, or half of a write.
const store = new DatabaseSync(join(state, "journal.db"), { readOnly: true, timeout: 10_000 })
store.prepare("vacuum into ?").run(`${copy}.partial`)
store.close()

const made = new DatabaseSync(`${copy}.partial`, { readOnly: true })
const [{ quick_check: found }] = made.prepare("pragma quick_check").all()
made.close()
if (found !== "ok") throw new Error(`the copy is not sound: ${found}`)
renameSync(`${copy}.partial`, copy)

// After the journal: every file that a row names was there before the row.
const attachments = join(state, "attachments")
if (existsSync(attachments)) cpSync(attachments, join(target, "attachments"), { recursive: true, preserveTimestamps: true })
console.log(`copied to ${target}`)
