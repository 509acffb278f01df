const SVG = 'http://www.w3.org/2000/svg';

// On a grid of 24 by 24, drawn with a stroke.
const PATHS = {
  back: 'M15 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6L6 18',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4',
  send: 'M4 12l16-8-6 16-3-7-7-1z',
  attach:
    'M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7L9.500 17a1.700 1.700 0 0 1-2.400-2.400L14.500 7.200',
  poll: 'M5 20V10M12 20V4M19 20v-7',
  smile: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14.500a4 4 0 0 0 7 0M9 9.500v.1M15 9.500v.1',
  reply: 'M9 8H5v10h14V8h-4M12 13V4M9 7l3-3 3 3',
  thread: 'M5 5h14v10h-8l-4 4v-4H5zM9 9h6M9 12h4',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  remove: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  pin: 'M9 4h6l-1 6 3 3H7l3-3zM12 13v7',
  down: 'M12 5v14M6 13l6 6 6-6',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.600 5.600L7 7M17 17l1.400 1.400M5.600 18.400L7 17M17 7l1.400-1.400',
  exit: 'M10 5H5v14h5M10 12h10M16 8l4 4-4 4',
  clock: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v4l3 2',
  file: 'M7 3h7l4 4v14H7zM14 3v4h4',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  order: 'M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8',
  group: 'M9 4L7 20M17 4l-2 16M4 9h16M3.500 15h16',
  at: 'M15.500 12a3.500 3.500 0 1 1-7 0 3.500 3.500 0 0 1 7 0zM15.500 8.500V13a2.500 2.500 0 0 0 5 0v-1a8.500 8.500 0 1 0-3.500 7',
  people:
    'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6M18 14.500a6.500 6.500 0 0 1 3.500 5.500',
} as const;

export type IconName = keyof typeof PATHS;

/** Decorative: the control that contains it has a label. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  for (const [attribute, value] of [
    ['viewBox', '0 0 24 24'],
    ['class', 'icon'],
    ['aria-hidden', 'true'],
  ] as const)
    svg.setAttribute(attribute, value);
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}
