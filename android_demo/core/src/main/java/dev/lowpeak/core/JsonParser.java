package dev.lowpeak.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A recursive descent over one text. */
final class JsonParser {
    private static final int MOST_NESTED = 200;
    private static final Pattern NUMBER = Pattern.compile("-?(?:0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?");

    private final String text;
    private int place;
    private int depth;

    JsonParser(String text) {
        this.text = text;
    }

    Object whole() throws JsonException {
        Object value = value();
        skipBlanks();
        if (place < text.length()) {
            throw problem("there is more after the value");
        }
        return value;
    }

    private Object value() throws JsonException {
        skipBlanks();
        char first = peek();
        switch (first) {
            case '{':
                return nested(this::object);
            case '[':
                return nested(this::list);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private interface Part {
        Object read() throws JsonException;
    }

    private Object nested(Part part) throws JsonException {
        if (++depth > MOST_NESTED) {
            throw problem("values are nested more than " + MOST_NESTED + " deep");
        }
        Object value = part.read();
        depth--;
        return value;
    }

    private Object object() throws JsonException {
        Map<String, Object> made = new LinkedHashMap<>();
        place++;
        skipBlanks();
        while (peek() != '}') {
            if (!made.isEmpty()) {
                expect(',');
                skipBlanks();
            }
            if (peek() != '"') {
                throw problem("a key in quotes is expected");
            }
            String key = string();
            skipBlanks();
            expect(':');
            if (made.containsKey(key)) {
                throw problem("the key \"" + key + "\" comes twice");
            }
            made.put(key, value());
            skipBlanks();
        }
        place++;
        return made;
    }

    private Object list() throws JsonException {
        List<Object> made = new ArrayList<>();
        place++;
        skipBlanks();
        while (peek() != ']') {
            if (!made.isEmpty()) {
                expect(',');
            }
            made.add(value());
            skipBlanks();
        }
        place++;
        return made;
    }

    private String string() throws JsonException {
        StringBuilder made = new StringBuilder();
        for (place++; peek() != '"'; place++) {
            char c = text.charAt(place);
            if (c < ' ') {
                throw problem("a control character in a string is not escaped");
            }
            made.append(c == '\\' ? escaped() : c);
        }
        place++;
        return made.toString();
    }

    /** Ends on the escape's last character. */
    private char escaped() throws JsonException {
        place++;
        char c = peek();
        int known = "\"\\/bfnrt".indexOf(c);
        if (known >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(known);
        }
        if (c != 'u' || place + 4 >= text.length()) {
            throw problem("an escape is not known");
        }
        int code = 0;
        for (int i = 1; i <= 4; i++) {
            char hex = text.charAt(place + i);
            int digit = hex < 128 ? Character.digit(hex, 16) : -1;
            if (digit < 0) {
                throw problem("\\u needs four hexadecimal digits");
            }
            code = 16 * code + digit;
        }
        place += 4;
        return (char) code;
    }

    private Object word(String word, Object value) throws JsonException {
        if (!text.startsWith(word, place)) {
            throw problem("a value is expected");
        }
        place += word.length();
        return value;
    }

    private Object number() throws JsonException {
        Matcher matcher = NUMBER.matcher(text).region(place, text.length());
        if (!matcher.lookingAt()) {
            throw problem("a value is expected");
        }
        boolean whole = matcher.group(1) == null && matcher.group(2) == null;
        String digits = matcher.group();
        if (whole) {
            try {
                Long value = Long.valueOf(digits);
                place = matcher.end();
                return value;
            } catch (NumberFormatException error) {
                // More than 64 bits.
            }
        }
        double value = Double.parseDouble(digits);
        if (Double.isInfinite(value)) {
            throw problem("the number " + digits + " is too large");
        }
        place = matcher.end();
        return value;
    }

    private void skipBlanks() {
        while (place < text.length() && " \t\r\n".indexOf(text.charAt(place)) >= 0) {
            place++;
        }
    }

    private char peek() throws JsonException {
        if (place >= text.length()) {
            throw problem("the text ends too early");
        }
        return text.charAt(place);
    }

    private void expect(char c) throws JsonException {
        if (peek() != c) {
            throw problem("'" + c + "' is expected");
        }
        place++;
    }

    private JsonException problem(String what) {
        return new JsonException("not JSON: " + what + " at character " + (place + 1) + " of " + text.length());
    }
}
