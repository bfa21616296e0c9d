package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.Random;
import org.junit.Test;

public class JsonTest {
    @Test
    public void readsEveryKindOfValue() throws JsonException {
        Object read = Json.parse(" {\"a\": [1, -2.5, 1e3, true, false, null], \"b\": {\"\": \"x\"}}\n");
        assertEquals("{\"a\":[1,-2.5,1000.0,true,false,null],\"b\":{\"\":\"x\"}}", Json.write(read));
        JsonObject object = JsonObject.of(read, "it");
        assertEquals(Arrays.asList(1L, -2.5, 1000.0, true, false, null), object.list("a"));
        assertEquals("x", object.object("b").text(""));
    }

    @Test
    public void numbersKeepTheirValue() throws JsonException {
        assertEquals(Long.MAX_VALUE, Json.parse("9223372036854775807"));
        assertEquals(9.223372036854775808e18, Json.parse("9223372036854775808"));
        for (double value : new double[] {2e-4, 1e-8, 0.1, Double.MIN_VALUE, Double.MAX_VALUE, -0.0}) {
            assertEquals(value, Json.parse(Json.write(value)));
        }
        assertThrows(IllegalArgumentException.class, () -> Json.write(Double.NaN));
    }

    @Test
    public void textsOfAnyCharactersComeBack() throws JsonException {
        Random random = new Random(3);
        for (int i = 0; i < 2000; i++) {
            StringBuilder text = new StringBuilder();
            for (int length = random.nextInt(12); length > 0; length--) {
                text.appendCodePoint(random.nextInt(4) == 0 ? random.nextInt(0x10FFFF) : random.nextInt(0x80));
            }
            assertEquals(text.toString(), Json.parse(Json.write(text.toString())));
        }
        assertEquals("\"\\ud83d\"", Json.write("\ud83d"));
        assertEquals("A/\b\f\n\r\t\"\\\ud83d\ude00", Json.parse("\"\\u0041\\/\\b\\f\\n\\r\\t\\\"\\\\\\ud83d\\ude00\""));
    }

    @Test
    public void refusesWithThePlaceWhatIsNotJson() {
        for (String text : new String[] {
            "", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "01", "+1", "1.", ".5", "1e", "--1", "tru",
            "nul", "\"\n\"", "\"\\x\"", "\"\\u12\"", "\"\\u00g0\"", "\"a", "1 2", "{\"a\":1 \"b\":2}", "NaN", "'a'",
            "{\"a\":1,\"a\":2}", "1e999", "\u00a01", "[1 2]",
        }) {
            JsonException error = assertThrows(text, JsonException.class, () -> Json.parse(text));
            assertTrue(error.getMessage(), error.getMessage().matches("not JSON: .* at character [0-9]+ of [0-9]+"));
        }
    }

    @Test
    public void refusesDeepNestingBeforeTheStackEnds() {
        String deep = String.join("", Collections.nCopies(100_000, "["));
        assertTrue(assertThrows(JsonException.class, () -> Json.parse(deep)).getMessage().contains("more than 200"));
    }

    @Test
    public void namesTheFieldThatDoesNotFit() throws JsonException {
        JsonObject object = Json.parseObject("{\"a\": {\"n\": 1.5, \"t\": null}, \"l\": [{}, 3]}");
        assertEquals("the text.a.n should be an integer, it is a number",
                assertThrows(JsonException.class, () -> object.object("a").integer("n")).getMessage());
        assertEquals("the text.a.t should be a text, it is null",
                assertThrows(JsonException.class, () -> object.object("a").text("t")).getMessage());
        assertEquals("the text should have the field x",
                assertThrows(JsonException.class, () -> object.flag("x")).getMessage());
        assertEquals("the text.l[1] should be an object, it is an integer",
                assertThrows(JsonException.class, () -> object.objects("l")).getMessage());
    }
}
