// usage: npm run drill [-- seconds of load]
import { runDrill } from '../test/drill/drill.ts';

const MAX_MS = 600_000;

const seconds = Number(process.argv[2] ?? 60);
const timer = setTimeout(() => {
  console.error(`the drill took more than ${MAX_MS / 60_000} minutes`);
  process.exit(1);
}, MAX_MS);
const report = await runDrill({ channels: 16, loadMs: (seconds * 1_000) / 3, fsync: true }, (line) =>
  console.log(line),
);
clearTimeout(timer);
console.log(
  `passed: all ${report.acknowledged} messages that were acknowledged before the restore point exist; ` +
    `${report.lost} later ones are lost, and streams with their cursors received RESET`,
);
process.exit(0);
