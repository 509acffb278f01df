// Run by each release, and by a deliberate breaking change, which CHANGELOG.md lists.
import { writeContract } from './lib/generate.ts';

writeContract();
