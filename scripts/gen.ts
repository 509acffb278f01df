import { generate } from './lib/generate.ts';

generate('.');
