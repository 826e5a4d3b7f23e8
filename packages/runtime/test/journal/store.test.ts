/** Stores that can't be used as they are: each says what it is and what helps; and upgrades that lose nothing. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { open } from "../../src/internal/journal/store/database.ts"
import { migrate } from "../../src/internal/journal/store/migrate.ts"
import { migrations } from "../../src/internal/journal/store/schema.ts"
import { storeCopy } from "../../src/internal/node/storeCopy.ts"
import { networkFileSystemOf, storeFiles } from "../../src/internal/node/storeFiles.ts"
import { Journal, JournalError } from "../../src/Journal.ts"
import { boot, bootFile, folder, message, outside, refused, sqlite, storeFile } from "./harness.ts"

/** A store with one message, closed. */
const used = Effect.fnUntraced(function* (file: string, version = "1.4.0") {
  const first = yield* bootFile(file, { version })
  yield* first.journal.admit(message("one", { id: "m1" }))
  yield* first.journal.close
  yield* first.end
})

describe("stores that can't be used", () => {
  it.effect("a file that is not a database is refused and left as it is", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const text = "this is somebody's letter, not a database. ".repeat(40)
      fs.writeFileSync(file, text)
      const error = yield* refused(file)
      assert.deepStrictEqual([error.reason, error.detail.includes("not a SQLite database")], ["Unsupported", true])
      assert.strictEqual(fs.readFileSync(file, "utf8"), text)
    })
  )

  it.effect("a database whose pages are damaged is a storage failure", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const bytes = fs.readFileSync(file)
      bytes.fill(0x5a, 4096, bytes.length)
      fs.writeFileSync(file, bytes)
      const error = yield* refused(file)
      assert.strictEqual(error.reason, "Storage")
      assert.match(error.message, /^the store failed: .*; keep a copy .*sluice doctor and restore the last backup$/)
    })
  )

  it.effect("a folder that does not exist is named as what has to be looked at", () =>
    Effect.gen(function* () {
      const error = yield* refused(path.join(yield* folder, "missing", "sluice.db"))
      assert.deepStrictEqual([error.reason, error.detail.includes("folder")], ["Unsupported", true])
    })
  )

  it.effect(
    "a word of an earlier failure that can't be read stops the start, is named, and costs nothing once it is gone",
    () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        yield* used(file)
        fs.mkdirSync(`${file}.failed`)
        const error = yield* refused(file)
        assert.strictEqual(error.reason, "Unsupported")
        assert.include(error.detail, `${file}.failed, the word of an earlier storage failure, can't be read (EISDIR`)
        assert.match(error.detail, /make it a file that this user can read, or move it away$/)
        fs.rmdirSync(`${file}.failed`)
        const next = yield* bootFile(file)
        assert.isTrue((yield* next.journal.admit(message("one", { id: "m1" }))).duplicate)
      })
  )

  it.effect("D28: a store of a newer major version is refused by the version that wrote it, and not touched", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file, "2.3.1")
      const look = new DatabaseSync(file)
      look.exec("insert into sluice_migrations (migration_id, name, created_at) values (2001, 'another', 0)")
      look.close()
      const error = yield* refused(file)
      assert.deepStrictEqual([error.reason, error.detail.includes("2.3.1")], ["TooNew", true])
      const after = yield* outside(file)
      assert.strictEqual(after.prepare("select count(*) as n from sluice_boots").get()?.n, 1)
    })
  )

  it.effect("D28: a store written by a newer minor version is opened and drained", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const look = new DatabaseSync(file)
      look.exec(`insert into sluice_migrations (migration_id, name, created_at) values (1009, 'newer', 0);
        alter table sluice_inbound add column mood text; alter table sluice_turns add column colour text default 'red';
        create table sluice_moods (id integer primary key); create index sluice_moody on sluice_inbound (mood)`)
      look.close()
      const second = yield* bootFile(file)
      assert.isTrue((yield* second.journal.admit(message("one", { id: "m1" }))).duplicate)
      const turn = yield* second.journal.claim({ session: 1, seqs: [1], agent: "main" })
      assert.strictEqual(turn?.rows[0]?.text, "one")
    })
  )

  it.effect("files are readable for their owner alone", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const { journal } = yield* bootFile(file)
      yield* journal.admit(message("secret"))
      for (const name of fs.readdirSync(path.dirname(file))) {
        assert.strictEqual(fs.statSync(path.join(path.dirname(file), name)).mode & 0o777, 0o600, name)
      }
    })
  )

  it.effect("a network file system is told by its type, also where the type is negative", () =>
    Effect.gen(function* () {
      assert.isUndefined(storeFiles(yield* storeFile).networkFileSystem())
      assert.deepStrictEqual([0x6969, 0xff534d42, 0xff534d42 | 0, 0xef53].map(networkFileSystemOf), [
        "NFS",
        "CIFS",
        "CIFS",
        undefined
      ])
    })
  )

  it.effect("a store that another program writes to is opened when that lets go, within two seconds", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const other = yield* outside(file)
      // Not in the mode of a write-ahead log yet: the switch to it is refused at once, without any patience of SQLite's.
      other.exec("create table somebody (x)")
      other.exec("begin immediate")
      const late = yield* Effect.forkChild(Effect.exit(bootFile(file)))
      yield* TestClock.adjust("5 seconds")
      const refusal = yield* Effect.flip(yield* Fiber.join(late))
      assert.match(String(refusal), /another program holds the store/)
      const patient = yield* Effect.forkChild(bootFile(file))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(patient.pollUnsafe())
      other.exec("rollback")
      yield* TestClock.adjust("1 second")
      const { journal } = yield* Fiber.join(patient)
      assert.strictEqual((yield* journal.reads.ledger).accepted, 0)
    })
  )

  it.effect("a store that can only be read is refused with what has to be looked at", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const error = yield* Effect.flip(boot(Journal.layer(SqliteClient.layer({ filename: file, readonly: true }))))
      assert.instanceOf(error, JournalError)
      assert.include(String(error), "writable")
      const { journal } = yield* bootFile(file)
      assert.strictEqual((yield* journal.reads.ledger).accepted, 1, "and left as it was, with its lock free")
    })
  )
})

describe("upgrades", () => {
  const newest = migrations.at(-1)?.id ?? 0
  const added = { id: newest + 1, name: "moods", statements: ["alter table sluice_inbound add column mood text"] }

  it.effect("before a step changes a store a verified copy of it is made", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const database = yield* open(sqlite(file), { write: true })
      const options = { now: 0, migrations: [...migrations, added] }
      yield* migrate(database, { ...options, copy: (step) => storeCopy(file, `${file}.before-${step}`) })
      const copy = yield* outside(`${file}.before-${newest}`)
      assert.strictEqual(copy.prepare("select text from sluice_inbound").get()?.text, "one")
      assert.notInclude(JSON.stringify(copy.prepare("pragma table_info(sluice_inbound)").all()), "mood")
      assert.deepStrictEqual(
        yield* database.query("select mood from sluice_inbound"),
        [{ mood: null }].map((row) => Object.assign(Object.create(null), row))
      )
      yield* migrate(database, { ...options, copy: () => Effect.die("nothing to do, nothing to copy") })
      yield* database.close
      assert.strictEqual(fs.statSync(`${file}.before-${newest}`).mode & 0o777, 0o600)
    })
  )

  it.effect("a copy that fails leaves the store as it was", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const database = yield* open(sqlite(file), { write: true })
      const failing = {
        now: 0,
        migrations: [...migrations, added],
        copy: () => Effect.fail(new JournalError({ reason: "Storage", detail: "no space" }))
      }
      const error = yield* Effect.flip(migrate(database, failing))
      assert.instanceOf(error, JournalError)
      const columns = yield* database.query("pragma table_info(sluice_inbound)")
      assert.notInclude(JSON.stringify(columns), "mood")
      yield* database.close
      const target = `${file}.before-${newest}`
      yield* Effect.flip(storeCopy(path.join(path.dirname(file), "nothing-here.db"), target))
      assert.isFalse(fs.existsSync(target))
    })
  )

  it.effect("a copy that can't be put in its place is a failure of the upgrade, and not the end of the process", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const target = `${file}.before-1`
      fs.mkdirSync(target)
      const error = yield* Effect.flip(storeCopy(file, target))
      assert.include(error.message, "rename")
    })
  )

  it.effect("a store of the first version is brought to this one, with what waited in it", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const old = yield* open(sqlite(file), { write: true })
      yield* migrate(old, { now: 0, migrations: migrations.slice(0, 1), copy: undefined })
      yield* old.query(`insert into sluice_conversations values (1, 'http/kim', 'http', '', 'kim', '', 1, 0, 0)`)
      yield* old.query(`insert into sluice_sessions (id, conversation, name, last_active) values (1, 1, 'main', 0)`)
      yield* old.close
      const { journal } = yield* bootFile(file)
      assert.deepInclude(yield* journal.session(1), { name: "main", model: undefined, outputMode: undefined })
      assert.isTrue(fs.existsSync(`${file}.before-1001`))
    })
  )

  it.effect("a step that fails changes nothing", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      yield* used(file)
      const database = yield* open(sqlite(file), { write: true })
      const broken = {
        id: newest + 1,
        name: "broken",
        statements: ["alter table sluice_inbound add column a text", "nonsense"]
      }
      yield* Effect.flip(migrate(database, { now: 0, migrations: [...migrations, broken], copy: undefined }))
      assert.notInclude(JSON.stringify(yield* database.query("pragma table_info(sluice_inbound)")), '"a"')
      yield* database.close
    })
  )

  it.effect("a store beside a host's own tables in one file is made and opened again", () =>
    Effect.gen(function* () {
      const file = yield* storeFile
      const host = yield* outside(file)
      host.exec("create table users (id integer primary key, name text); insert into users values (1, 'kim')")
      const first = yield* bootFile(file)
      yield* first.journal.admit(message("one"))
      yield* first.end
      const second = yield* boot(Journal.layer(sqlite(file)).pipe(Layer.orDie))
      assert.strictEqual((yield* second.journal.reads.ledger).accepted, 1)
      assert.strictEqual(host.prepare("select name from users").get()?.name, "kim")
    })
  )
})
